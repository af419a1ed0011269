/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who owns the socket: the cgroup that the kernel itself wrote into it when it was made, and that an accepted socket has from its
 * listener, however old that listener is.
 *
 * sock_ops may not ask for it, cgroup_skb may (bpf_sk_cgroup_id, 5.8). So the packet programs ask while they hold the packet and
 * leave the answer where tcp_ops finds it: for the last packet of a handshake in "moment", since the accepted socket is
 * established in the same call, on the same CPU; for an active SYN in the connection itself (only before 6.2: later kernels tell
 * tcp_ops the current cgroup, and whoever calls connect() is current).
 */
static __always_inline void owner_of_listener(struct __sk_buff *skb, struct bpf_sock *sk)
{
	u32 zero = 0;
	struct moment *m = moment.lookup(&zero);
	struct bpf_sock *full = bpf_sk_fullsock(sk);
	if (!m || !full)
		return;
	m->listener_cgroup = bpf_sk_cgroup_id(full);
	m->listener_port = full->src_port;
}

#if KERNEL < KERNEL_VERSION(6, 2, 0)
static __always_inline void owner_of_connecting(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct bpf_sock *full = bpf_sk_fullsock(sk);
	u64 cookie = bpf_get_socket_cookie(skb);
	struct connection *c = connection(cookie);
	if (!c || !full || c->key.cgroup)
		return;
	c->key.cgroup = bpf_sk_cgroup_id(full);
	make_room(&c->key);
}
#endif
