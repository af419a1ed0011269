/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The option of the handshake as it is on the wire, and its signature. Leaves out who writes one and what is believed (handshake.c).
 */
enum { SYN = 2, ACK = 16 };
struct tcp_start { u16 source, destination; u32 seq, ack; u8 length, flags; u16 window; u32 check_urgent; };

/* As it is on the wire, the tag in two halves so that nothing lies across its alignment. */
struct option { u8 kind, length; u16 exid; u32 tag_high, tag_low, pod, mac; };
_Static_assert(sizeof(struct option) == HANDSHAKE_LENGTH, "option");

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))
#define SIP_ROUND() do { \
	v0 += v1; v1 = ROTATE(v1, 13); v1 ^= v0; v0 = ROTATE(v0, 32); v2 += v3; v3 = ROTATE(v3, 16); v3 ^= v2; \
	v0 += v3; v3 = ROTATE(v3, 21); v3 ^= v0; v2 += v1; v1 = ROTATE(v1, 17); v1 ^= v2; v2 = ROTATE(v2, 32); \
} while (0)

/* SipHash-2-4 of 20 bytes, little-endian: tag, pod, the sender's and the receiver's sequence number. Its low half. */
static __always_inline u32 mac_of(const struct handshake_key *key, u64 tag, u32 pod, u32 sender_isn, u32 receiver_isn)
{
	u64 words[3] = {tag, (u64)sender_isn << 32 | pod, (u64)HANDSHAKE_LENGTH << 56 | receiver_isn};
	u64 v0 = key->k0 ^ 0x736f6d6570736575ULL, v1 = key->k1 ^ 0x646f72616e646f6dULL;
	u64 v2 = key->k0 ^ 0x6c7967656e657261ULL, v3 = key->k1 ^ 0x7465646279746573ULL;
#pragma unroll
	for (int i = 0; i < 3; i++) {
		v3 ^= words[i];
		SIP_ROUND();
		SIP_ROUND();
		v0 ^= words[i];
	}
	v2 ^= 0xff;
	SIP_ROUND();
	SIP_ROUND();
	SIP_ROUND();
	SIP_ROUND();
	return v0 ^ v1 ^ v2 ^ v3;
}

static __always_inline bool sign(const struct identity *who, u32 isn, u32 peer_isn, u32 *mac)
{
	u32 first = 0;
	struct handshake_key *key = handshake_keys.lookup(&first);
	if (!key || !key->valid)
		return 0;
	*mac = mac_of(key, who->tag, who->pod, isn, peer_isn);
	return 1;
}

static __always_inline u64 tag_of(const struct option *o)
{
	return (u64)bpf_ntohl(o->tag_high) << 32 | bpf_ntohl(o->tag_low);
}

static __always_inline bool is_right(const struct option *o, u32 sender_isn, u32 receiver_isn)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < HANDSHAKE_KEYS; i++) {
		u32 slot = i;
		struct handshake_key *key = handshake_keys.lookup(&slot);
		if (key && key->valid && mac_of(key, tag_of(o), bpf_ntohl(o->pod), sender_isn, receiver_isn) == bpf_ntohl(o->mac))
			return 1;
	}
	return 0;
}

/* Find our option in the header of a packet that a program wrote by itself; "length" is the header's. */
static __always_inline bool carries_option(struct __sk_buff *skb, u32 offset, u32 length)
{
	u32 at = sizeof(struct tcp_start);
#pragma clang loop unroll(disable)
	for (int i = 0; i < 24; i++) { /* 20 no-operations before it, at most */
		struct { u8 kind, length; u16 exid; } o = {};
		at &= 63;
		if (at + sizeof(o) > length || bpf_skb_load_bytes(skb, offset + at, &o, sizeof(o)) || !o.kind)
			return 0;
		if (o.kind == HANDSHAKE_KIND && o.exid == bpf_htons(HANDSHAKE_EXID))
			return 1;
		at += o.kind == 1 ? 1 : o.length;
	}
	return 0;
}
