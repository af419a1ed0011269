/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who owns the socket: asked when it is made, while the process that makes it is current. Accepted sockets clone their
 * listener's answer, although they are established in softirq where "current" is anybody.
 * Hook: cgroup/sock_create (5.2 for socket storage, 5.7 for the cookie). Once per socket(), never per accept or packet.
 */
int owner_create(struct bpf_sock *sk)
{
	u32 protocol = sk->protocol;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 1;
	struct socket_state fresh = {};
	fresh.cgroup = bpf_get_current_cgroup_id();
	fresh.netns = bpf_get_netns_cookie(sk);
	if (!sockets.sk_storage_get(sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE))
		lose(LOSS_STORAGE);
	return 1;
}
