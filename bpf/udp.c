/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * UDP: datagrams and payload bytes per edge, also for unconnected sockets. TCP packets leave after a few loads.
 * Hook: cgroup_skb, both ways (4.10): per packet, before IP fragmentation on the way out and after reassembly on the way in.
 * A socket's direction is who sent first on it; a socket that both serves and asks is counted as what it did first.
 */
struct udp_packet {
	u32 local[4];
	u32 remote[4];
	u16 local_port;
	u16 remote_port;
	u32 payload;
};

static __always_inline int udp_count(struct __sk_buff *skb, struct udp_packet *p, u8 way)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	struct udp_socket fresh = {.decided = 1, .direction = way};
	struct udp_socket *s = udp_sockets.sk_storage_get(sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		lose(LOSS_SOCKETS_FULL);
		return 1;
	}
	struct edge_key key = {};
	key.cgroup = bpf_sk_cgroup_id(sk);
	__builtin_memcpy(key.local, p->local, 16);
	__builtin_memcpy(key.remote, p->remote, 16);
	key.remote_prefix = collapse(key.remote);
	key.direction = s->direction;
	key.port = s->direction == EGRESS ? p->remote_port : p->local_port;
	key.protocol = IPPROTO_UDP;
	u64 now = bpf_ktime_get_boot_ns();
	struct edge_value *e = edge(&key, EDGE_ID(now, bpf_get_smp_processor_id()));
	if (!e)
		return 1;
	u32 datagrams = skb->gso_segs > 1 ? skb->gso_segs : 1;
	if (way == EGRESS) {
		ADD(e->sent_bytes, p->payload);
		ADD(e->sent_segments, datagrams);
	} else {
		ADD(e->received_bytes, p->payload);
		ADD(e->received_segments, datagrams);
	}
	e->last_boot_ns = now;
	return 1;
}

struct udp_header { u16 source, destination, length, check; };
struct ipv4_header { u8 version_length, tos; u16 length, id, fragment; u8 ttl, protocol; u16 check; u32 source, destination; };
struct ipv6_header { u32 version_class_label; u16 length; u8 next, hops; u32 source[4], destination[4]; };

static __always_inline int udp_packet(struct __sk_buff *skb, struct udp_packet *p, u32 offset, u8 way)
{
	struct udp_header udp;
	if (bpf_skb_load_bytes(skb, offset, &udp, sizeof(udp)))
		return 1;
	p->payload = skb->len > offset + sizeof(udp) ? skb->len - offset - sizeof(udp) : 0;
	p->local_port = bpf_ntohs(way == EGRESS ? udp.source : udp.destination);
	p->remote_port = bpf_ntohs(way == EGRESS ? udp.destination : udp.source);
	return udp_count(skb, p, way);
}

static __always_inline int udp4(struct __sk_buff *skb, struct ipv4_header *ip, u8 way)
{
	struct udp_packet p = {};
	p.local[2] = p.remote[2] = IPV4_MAPPED;
	p.local[3] = way == EGRESS ? ip->source : ip->destination;
	p.remote[3] = way == EGRESS ? ip->destination : ip->source;
	return udp_packet(skb, &p, (ip->version_length & 15) * 4, way);
}

static __always_inline int udp6(struct __sk_buff *skb, struct ipv6_header *ip, u8 way)
{
	struct udp_packet p = {};
	__builtin_memcpy(p.local, way == EGRESS ? ip->source : ip->destination, 16);
	__builtin_memcpy(p.remote, way == EGRESS ? ip->destination : ip->source, 16);
	return udp_packet(skb, &p, sizeof(*ip), way);
}

/*
 * TCP leaves here, after telling who owns the listener where that will be asked; and, in a header that is long enough for an option of
 * the handshake, after a look whether it was the kernel that wrote it.
 */
static __always_inline void tcp_packet(struct __sk_buff *skb, void *header, void *end, u32 offset, u8 way)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_start *tcp = header;
	if (way == INGRESS) {
		if (sk && sk->state == BPF_TCP_LISTEN)
			owner_of_listener(skb, sk, offset);
	} else if ((void *)(tcp + 1) <= end) {
		u32 length = (tcp->length >> 4) * 4;
		if (length >= sizeof(*tcp) + HANDSHAKE_LENGTH)
			check_sender(skb, offset, length);
	}
}

static __always_inline int packet(struct __sk_buff *skb, u8 way)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (skb->protocol == bpf_htons(0x0800)) {
		struct ipv4_header *ip = data;
		if ((void *)(ip + 1) > end)
			return 1;
		if (ip->protocol == IPPROTO_UDP)
			return udp4(skb, ip, way);
		if (ip->protocol == IPPROTO_TCP) {
			u32 offset = (ip->version_length & 15) * 4;
			tcp_packet(skb, data + offset, end, offset, way);
		}
	} else {
		struct ipv6_header *ip = data;
		if ((void *)(ip + 1) > end)
			return 1;
		if (ip->next == IPPROTO_UDP)
			return udp6(skb, ip, way);
		if (ip->next == IPPROTO_TCP)
			tcp_packet(skb, ip + 1, end, sizeof(*ip), way);
	}
	return 1;
}

int packet_egress(struct __sk_buff *skb) { return packet(skb, EGRESS); }
int packet_ingress(struct __sk_buff *skb) { return packet(skb, INGRESS); }
