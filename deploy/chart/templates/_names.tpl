{{- define "ipseity.namespace" -}}
{{- if ne .Release.Namespace "ipseity-system" -}}
{{- fail (printf "cannot install into namespace %q: certificates, webhook and exemptions name ipseity-system; use --namespace ipseity-system --create-namespace" .Release.Namespace) -}}
{{- end -}}
ipseity-system
{{- end -}}

{{/* Labels of an object: (dict "root" $ "component" "agent") */}}
{{- define "ipseity.labels" -}}
app.kubernetes.io/name: ipseity
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: ipseity
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Values.managedBy | default .root.Release.Service }}
{{- if not .root.Values.managedBy }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}
{{- end -}}

{{/* An image: (dict "root" $ "image" .Values.agent.image) */}}
{{- define "ipseity.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "ipseity.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Settings as variables, in the order of their names. */}}
{{- define "ipseity.settings" -}}
{{- range $name, $value := . }}
- name: IPSEITY_{{ upper $name }}
  {{- if kindIs "slice" $value }}
  value: {{ join "," $value | quote }}
  {{- else if kindIs "float64" $value }}
  {{- /* 65536, and never 6.5536e+04 */}}
  value: {{ $value | toJson | quote }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "ipseity.egress" }}
  egress:
    # Names, and the API server. Its address is no pod's, so only the port can be said.
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    - ports:
        {{- range .apiServerPorts }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
{{- end }}

{{- define "ipseity.portOf" }}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $port | default (eq $url.scheme "https" | ternary "443" "80") }}
{{- end }}

{{- define "ipseity.metricsFrom" }}
    - ports: [{port: {{ .port }}, protocol: TCP}]
      from:
        {{- if .peers }}
        {{- toYaml .peers | nindent 8 }}
        {{- else }}
        - namespaceSelector: {}
        {{- end }}
{{- end }}
