/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which path a cgroup id had: told when the directory is made, so that a container which lives for milliseconds still has a name.
 * Hooks: tracepoints cgroup:cgroup_mkdir and cgroup:cgroup_rmdir. Offsets come from the loader, which reads the tracepoint's format.
 */
static __always_inline int cgroup_changed(void *ctx, u32 gone)
{
	int hierarchy = -1;
	bpf_probe_read_kernel(&hierarchy, sizeof(hierarchy), ctx + CGROUP_ROOT_OFFSET);
	if (hierarchy != 0) /* 0 is cgroup2; on a hybrid host the old hierarchies come by too */
		return 0;
	struct cgroup_record *r = cgroups.ringbuf_reserve(sizeof(*r));
	if (!r) {
		lose(LOSS_CGROUP_RING);
		return 0;
	}
	u32 where = 0;
	r->boot_ns = bpf_ktime_get_boot_ns();
	r->gone = gone;
	bpf_probe_read_kernel(&r->cgroup, sizeof(r->cgroup), ctx + CGROUP_ID_OFFSET);
	bpf_probe_read_kernel(&where, sizeof(where), ctx + CGROUP_PATH_OFFSET);
	r->length = bpf_probe_read_kernel_str(r->path, CGROUP_PATH, ctx + (where & 0xffff));
	cgroups.ringbuf_submit(r, 0);
	return 0;
}

int cgroup_mkdir(void *ctx) { return cgroup_changed(ctx, 0); }
int cgroup_rmdir(void *ctx) { return cgroup_changed(ctx, 1); }
