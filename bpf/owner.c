/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who owns the socket: the cgroup that the kernel itself wrote into it when it was made, and that an accepted socket has from its
 * listener, however old that listener is.
 *
 * sock_ops may not ask for it, cgroup_skb may (bpf_sk_cgroup_id, 5.8). So the packet programs ask while they hold the packet and
 * leave the answer where tcp_ops finds it, in "moment": an accepted socket is established, and a SYN answered, in the same call, on the
 * same CPU. Of a socket that calls, the owner is whoever calls connect() (include/socket.h).
 */
static __always_inline void owner_of_listener(struct __sk_buff *skb, struct bpf_sock *sk, u32 offset)
{
	u32 zero = 0;
	struct moment *m = moment.lookup(&zero);
	struct bpf_sock *full = bpf_sk_fullsock(sk);
	struct { u16 source, destination; u32 seq; } tcp;
	if (!m || !full || bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)))
		return;
	m->listener_cgroup = bpf_sk_cgroup_id(full);
	m->listener_port = bpf_ntohs(tcp.destination);
	m->listener_remote_port = bpf_ntohs(tcp.source);
	m->listener_seq = bpf_ntohl(tcp.seq);
}
