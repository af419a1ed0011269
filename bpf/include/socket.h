/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What sock_ops tells of the socket in hand, for the handshake and for counting. Includes the cgroup of whoever calls connect(): from
 * 6.2 on sock_ops may ask for it, before that two programs on connect() leave it here, by the socket's cookie (5.7).
 */
/* Clang would merge two branches that read different context fields into one computed offset, which the verifier refuses. */
#define FENCE() asm volatile("" ::: "memory")

#if KERNEL >= KERNEL_VERSION(5, 15, 0)
#define NETNS(ctx) bpf_get_netns_cookie(ctx)
#else
#define NETNS(ctx) 0
#endif

static __always_inline void addresses(struct bpf_sock_ops *ctx, u32 local[4], u32 remote[4])
{
	u32 family = ctx->family, local4 = ctx->local_ip4, remote4 = ctx->remote_ip4;
	FENCE();
	u32 l0 = ctx->local_ip6[0], l1 = ctx->local_ip6[1], l2 = ctx->local_ip6[2], l3 = ctx->local_ip6[3];
	FENCE();
	u32 r0 = ctx->remote_ip6[0], r1 = ctx->remote_ip6[1], r2 = ctx->remote_ip6[2], r3 = ctx->remote_ip6[3];
	FENCE();
	bool four = family == AF_INET;
	local[0] = four ? 0 : l0; local[1] = four ? 0 : l1; local[2] = four ? IPV4_MAPPED : l2; local[3] = four ? local4 : l3;
	remote[0] = four ? 0 : r0; remote[1] = four ? 0 : r1; remote[2] = four ? IPV4_MAPPED : r2; remote[3] = four ? remote4 : r3;
}

#if KERNEL >= KERNEL_VERSION(6, 2, 0)
static __always_inline u64 cgroup_of_caller(u64 cookie)
{
	return bpf_get_current_cgroup_id();
}
#else
BPF_TABLE("lru_hash", u64, u64, callers, 4096); /* between connect() and its SYN, in one system call: arbitrary, far more than call at once */

static __always_inline u64 cgroup_of_caller(u64 cookie)
{
	u64 *found = callers.lookup(&cookie);
	if (found)
		return *found;
	lose(LOSS_OWNER);
	return 0;
}

static __always_inline int called(struct bpf_sock_addr *ctx)
{
	if (ctx->protocol == IPPROTO_TCP) {
		u64 cookie = bpf_get_socket_cookie(ctx), cgroup = bpf_get_current_cgroup_id();
		callers.update(&cookie, &cgroup);
	}
	return 1;
}

int connect_ipv4(struct bpf_sock_addr *ctx) { return called(ctx); }
int connect_ipv6(struct bpf_sock_addr *ctx) { return called(ctx); }
#endif
