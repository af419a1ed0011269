/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP: one edge per (owner, peer, service), fed from the kernel's own counters when a connection ends.
 * That it is open stands in its slot, what it has moved so far in its socket: the agent reads the one, and asks sock_diag for the other,
 * so that nothing here runs per packet and an edge is touched once in a connection's life (docs/adr/0005).
 *
 * Hooks: sock_ops on the cgroup root. tracepoint tcp:tcp_receive_reset (4.16), sock:inet_sk_error_report (5.14): why it ended.
 */
/* The edge that this connection will be charged to, as far as is known without the handshake. */
static __always_inline void fill_key(struct bpf_sock_ops *ctx, struct edge_key *key)
{
	u32 local_port = ctx->local_port, remote_port = bpf_ntohl(ctx->remote_port);
	addresses(ctx, key->local, key->remote);
	key->remote_prefix = collapse(key->remote);
	key->port = key->direction == EGRESS ? remote_port : local_port;
}

/* From here on user space finds it open, unless its key may still change (ESTABLISHED_UNTOLD). */
static __always_inline void established(struct connection *c, u32 how)
{
	IN_ORDER();
	c->established = how;
}

/* From here on user space does not find it open any more: it will be charged, and must never be counted as both. */
static __always_inline bool no_more_established(struct connection *c)
{
	bool was = c->established;
	c->established = NOT_ESTABLISHED;
	IN_ORDER();
	return was;
}

/* Payload bytes: the kernel's counters include a SYN or FIN that took a sequence number, which is not payload. */
static __always_inline u64 payload_sent(struct bpf_sock_ops *ctx, struct connection *c, bool established, u32 state, u8 cause)
{
	u64 acked = ctx->bytes_acked;
	u32 una = ctx->snd_una, next = ctx->snd_nxt;
	u64 extra = c->key.direction == EGRESS && established;
	if (state == BPF_TCP_FIN_WAIT2)
		extra += 1;
	else if ((state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSING) && una == next && cause == FAIL_CAUSES)
		extra += 1; /* an acknowledged FIN ends it in order; in one that broke it may still wait behind a closed window */
	return acked > extra ? acked - extra : 0;
}

/*
 * In FIN_WAIT2 the peer's FIN ends the connection in the call that brings it, so one that broke had none. The application's own
 * close passes through FIN_WAIT2 once more, which brings fin_wait2_received up to date: what it read without waiting for the FIN is
 * all payload. Left: a close that aborts (unread data, SO_LINGER 0) looks like the FIN here, one byte too few (docs/limitations.md).
 */
static __always_inline u64 payload_received(struct bpf_sock_ops *ctx, struct connection *c, u32 state, u8 cause)
{
	u64 received = ctx->bytes_received;
	u64 extra = state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSING;
	if (state == BPF_TCP_FIN_WAIT2)
		extra = cause == FAIL_CAUSES && (u32)received != c->fin_wait2_received;
	return received > extra ? received - extra : 0;
}

/* Why a connection ended that was in this state: a fail_cause, or FAIL_CAUSES for an end in order. */
static __always_inline u8 cause_of(struct bpf_sock_ops *ctx, bool established, struct moment *m)
{
	u32 retransmits = ctx->total_retrans, local_port = ctx->local_port, remote_port = bpf_ntohl(ctx->remote_port);
	if (m->reset_cookie && m->reset_cookie == bpf_get_socket_cookie(ctx))
		return established ? FAIL_RESET : FAIL_REFUSED;
	if (m->error && m->local_port == local_port && m->remote_port == remote_port)
		return m->error - 1;
	if (established)
		return FAIL_CAUSES;
	return retransmits ? FAIL_TIMED_OUT : FAIL_OTHER; /* the application gave up waiting: unanswered SYNs tell a time-out */
}

struct totals {
	u64 sent_bytes, received_bytes;
	u32 sent_segments, received_segments, retransmits, rtt_us;
	bool established;
};

static __always_inline void write_record(struct bpf_sock_ops *ctx, struct connection *c, struct totals *t, u8 cause, u64 now)
{
	u32 zero = 0;
	struct kernel_settings *settings = kernel_settings.lookup(&zero);
	if (!settings || !settings->records)
		return;
	struct connection_record *r = records.ringbuf_reserve(sizeof(*r));
	if (!r) {
		lose(LOSS_RECORD_RING);
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->cookie = bpf_get_socket_cookie(ctx);
	r->cgroup = c->key.cgroup;
	r->netns = c->key.netns;
	addresses(ctx, r->local, r->remote);
	r->opened_boot_ns = c->opened_boot_ns;
	r->ended_boot_ns = now;
	r->sent_bytes = t->sent_bytes;
	r->received_bytes = t->received_bytes;
	r->rtt_us = t->rtt_us;
	r->connect_us = c->connect_us;
	r->retransmits = t->retransmits;
	r->sent_segments = t->sent_segments;
	r->received_segments = t->received_segments;
	r->local_port = ctx->local_port;
	r->remote_port = bpf_ntohl(ctx->remote_port);
	r->peer_tag = c->key.peer_tag;
	r->peer_pod = c->key.peer_pod;
	r->told = c->key.told;
	r->direction = c->key.direction;
	r->protocol = IPPROTO_TCP;
	r->end = cause == FAIL_CAUSES ? END_CLOSED : cause;
	r->established = t->established;
	records.ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void count_ended(struct edge_value *e, struct connection *c, struct totals *t, u8 cause, u64 now)
{
	if (t->established) {
		ADD(e->opened, 1);
		ADD(e->closed, 1);
		if (c->key.direction == EGRESS) {
			ADD(e->connect_us_sum, c->connect_us);
			ADD(e->connect[bucket(c->connect_us)], 1);
		}
		ADD(e->rtt_us_sum, t->rtt_us);
		ADD(e->rtt[bucket(t->rtt_us)], 1);
	}
	if (cause < FAIL_CAUSES)
		ADD(e->failed[cause], 1);
	if (t->sent_bytes)
		ADD(e->sent_bytes, t->sent_bytes);
	if (t->received_bytes)
		ADD(e->received_bytes, t->received_bytes);
	ADD(e->sent_segments, t->sent_segments);
	ADD(e->received_segments, t->received_segments);
	if (t->retransmits)
		ADD(e->retransmits, t->retransmits);
	e->last_boot_ns = now;
}

static __always_inline void ended(struct bpf_sock_ops *ctx, struct connection *c, u32 state)
{
	u32 zero = 0;
	struct totals t = {.established = no_more_established(c)};
	struct moment *m = moment.lookup(&zero);
	if (!m)
		return;
	u64 now = bpf_ktime_get_boot_ns();
	u8 cause = cause_of(ctx, t.established, m);
	t.sent_bytes = payload_sent(ctx, c, t.established, state, cause);
	t.received_bytes = payload_received(ctx, c, state, cause);
	t.sent_segments = ctx->segs_out;
	t.received_segments = ctx->segs_in;
	t.retransmits = ctx->total_retrans;
	t.rtt_us = ctx->srtt_us >> 3;
	struct edge_value *e = edge(&c->key, EDGE_ID(c->opened_boot_ns, c->cpu));
	if (e)
		count_ended(e, c, &t, cause, now);
	write_record(ctx, c, &t, cause, now);
	m->error = 0;
	m->ended = cause != FAIL_RESET && cause != FAIL_REFUSED;
	if (m->ended) {
		m->cause = cause;
		m->local_port = ctx->local_port;
		m->remote_port = bpf_ntohl(ctx->remote_port);
		m->key = c->key;
	}
}

static __always_inline void state_changed(struct bpf_sock_ops *ctx, u32 from, u32 to)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	struct connection *c = connection(cookie);
	if (!c) {
		if (to == BPF_TCP_CLOSE)
			lose(LOSS_SOCKETS_FULL);
		return;
	}
	if (to == BPF_TCP_FIN_WAIT2) {
		c->fin_wait2_received = ctx->bytes_received;
		return;
	}
	if (c->handshake)
		silence(ctx, c); /* a socket may connect again */
	ended(ctx, c, from);
	end_connection(c, cookie);
}

static __always_inline u64 cgroup_of_listener(struct bpf_sock_ops *ctx)
{
	u32 zero = 0, port = ctx->local_port;
	struct moment *m = moment.lookup(&zero);
	if (m && m->listener_port == port && m->listener_cgroup)
		return m->listener_cgroup;
	lose(LOSS_OWNER);
	return 0;
}

static __always_inline void begun(struct bpf_sock_ops *ctx, u8 direction)
{
	u64 cookie = bpf_get_socket_cookie(ctx), now = bpf_ktime_get_boot_ns();
	struct connection *c = new_connection(cookie);
	if (!c) {
		lose(LOSS_SOCKETS_FULL);
		return;
	}
	c->opened_boot_ns = now;
	IN_ORDER();
	c->cpu = bpf_get_smp_processor_id();
	u32 flags = ctx->bpf_sock_ops_cb_flags, isn = ctx->snd_una - 1, peer_isn = ctx->rcv_nxt - 1;
	struct edge_key key = {.netns = NETNS(ctx), .direction = direction, .protocol = IPPROTO_TCP};
	key.cgroup = direction == EGRESS ? cgroup_of_caller(cookie) : cgroup_of_listener(ctx);
	fill_key(ctx, &key);
	c->key.cgroup = key.cgroup;
	if (direction == EGRESS) {
		flags |= tell(ctx, c, &key);
	} else {
		hear_caller(ctx, &key);
		flags = accepted(c, &key, flags, isn, peer_isn);
	}
	make_room(&key);
	c->key = key;
	if (direction == INGRESS)
		established(c, ESTABLISHED);
	bpf_sock_ops_cb_flags_set(ctx, flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void answered(struct bpf_sock_ops *ctx, bool simultaneous)
{
	struct connection *c = connection(bpf_get_socket_cookie(ctx));
	if (!c)
		return;
	c->connect_us = (bpf_ktime_get_boot_ns() - c->opened_boot_ns) / 1000;
	established(c, answered_call(ctx, c, simultaneous));
}

/*
 * A simultaneous open (a socket connected to itself is one) is established as if it were passive, by the socket that called. Ours
 * has its flag, which an accepted socket has not; the slot tells where somebody else set that flag on the listener.
 */
static __always_inline bool called_both_ways(struct bpf_sock_ops *ctx)
{
	return ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG && connection(bpf_get_socket_cookie(ctx));
}

int tcp_ops(struct bpf_sock_ops *ctx)
{
	u32 op = ctx->op;
	if (op == BPF_SOCK_OPS_STATE_CB) {
		u32 to = ctx->args[1];
		if (to == BPF_TCP_CLOSE || to == BPF_TCP_FIN_WAIT2)
			state_changed(ctx, ctx->args[0], to);
	} else if (op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		begun(ctx, EGRESS);
	} else if (op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		answered(ctx, 0);
	} else if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		if (called_both_ways(ctx))
			answered(ctx, 1);
		else
			begun(ctx, INGRESS);
	} else if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB) {
		reserve(ctx);
	} else if (op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB) {
		write_option(ctx);
	} else if (op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB || op == BPF_SOCK_OPS_RTT_CB || op == BPF_SOCK_OPS_RETRANS_CB) {
		first_segment(ctx, op);
	} else if (op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		listens(ctx);
	}
	return 1;
}

/* A RST arrived: the close that follows in the same call, on the same CPU, is its doing. */
int tcp_receive_reset(void *ctx)
{
	u32 zero = 0;
	struct moment *m = moment.lookup(&zero);
	if (m)
		bpf_probe_read_kernel(&m->reset_cookie, sizeof(u64), ctx + RESET_COOKIE_OFFSET);
	return 0;
}

static __always_inline u8 cause_of_errno(int error)
{
	switch (error) {
	case 111: return FAIL_REFUSED;     /* ECONNREFUSED */
	case 110: return FAIL_TIMED_OUT;   /* ETIMEDOUT */
	case 104: case 32: return FAIL_RESET; /* ECONNRESET, EPIPE */
	case 100: case 101: case 112: case 113: return FAIL_UNREACHABLE; /* ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH */
	default: return FAIL_OTHER;
	}
}

/*
 * The kernel reports a socket's error in the same call that closes it: before the close up to 6.9, after it since 6.10.
 * After: the close was counted by what was known then; move the count to what is known now.
 */
struct error_report {
	u64 common;
	int error;
	u16 local_port;
	u16 remote_port;
	u16 family;
	u16 protocol;
};
int tcp_error_report(void *ctx)
{
	struct error_report r = {};
	bpf_probe_read_kernel(&r, sizeof(r), ctx);
	u32 zero = 0;
	struct moment *m = moment.lookup(&zero);
	if (!m || !r.error || r.protocol != IPPROTO_TCP)
		return 0;
	u8 cause = cause_of_errno(r.error);
	bool same = m->local_port == r.local_port && m->remote_port == r.remote_port;
	if (m->ended && same) {
		m->ended = 0;
		struct edge_value *e = m->cause != cause ? edges.lookup(&m->key) : 0;
		if (!e)
			return 0;
		if (m->cause < FAIL_CAUSES)
			ADD(e->failed[m->cause], -1);
		ADD(e->failed[cause], 1);
		return 0;
	}
	m->ended = 0;
	m->error = cause + 1;
	m->local_port = r.local_port;
	m->remote_port = r.remote_port;
	return 0;
}
