/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who somebody is, told in the TCP handshake (docs/adr/0015): an option of 20 bytes in SYN, SYN-ACK and what the client sends until the
 * server is known to be established. Signed by the node's programs with a key that no pod has.
 *
 * What is believed is bound to both initial sequence numbers: a server believes the segment that establishes the connection, which
 * answers its own unpredictable number; a client the SYN-ACK, or the first segment of a server whose listener is older than the programs.
 * The option in a SYN is bound to the client's number alone: it is checked and counted, and asks for the SYN-ACK's; it proves nothing.
 * No packet is ever dropped for what it tells. Called from tcp.c; once a handshake is over no header callback of ours is left.
 */
enum {
	TELLS = 1,    /* the SYN is to carry an option */
	WROTE = 2,    /* it does */
	GAVE_UP = 4,  /* it got no answer: nothing later carries one either, since whoever drops it would drop that too */
	SIGNED = 8,   /* "mac" is that of all options from here on */
	ANSWERS = 16, /* accepted by a listener that could not: its first segments tell who we are */
};
#define OURS (BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG | \
	      BPF_SOCK_OPS_RETRANS_CB_FLAG)
#define PARSES (BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG)
#define ANSWERS_WRITTEN 3 /* arbitrary: the first may be lost, and not all before the first round trip need it */

/*
 * SYN options that were right, by the client's sequence number: a second one with the same MAC is a copy, since we never write one
 * twice; and an establishing segment without one, after such a SYN, is no proof. A slot that is taken over only means not to be counted.
 */
struct syn_seen { u32 isn, mac; u16 local_port, remote_port; u32 pad; };
#define SYNS_SEEN 4096
BPF_ARRAY(syns_seen, struct syn_seen, SYNS_SEEN);

/* Peers that answered only without the option: twice in a row, and for ten minutes no SYN to them carries one. */
struct deaf_peer { u32 remote[4]; u64 since_boot_ns; u32 times; u32 pad; };
#define DEAF_PEERS 1024
#define DEAF_TIMES 2
#define DEAF_NS (600ULL * 1000000000)
BPF_ARRAY(deaf_peers, struct deaf_peer, DEAF_PEERS);

static __always_inline bool handshakes(void)
{
	u32 zero = 0;
	struct kernel_settings *settings = kernel_settings.lookup(&zero);
	return settings && settings->handshake;
}

/* Find our option in the segment in hand (0), or in the SYN that is being answered (BPF_LOAD_HDR_OPT_TCP_SYN). */
static __always_inline bool find(struct bpf_sock_ops *ctx, struct option *o, u64 where)
{
	o->kind = HANDSHAKE_KIND;
	o->length = 4; /* of what is searched for: kind, length and our number */
	o->exid = bpf_htons(HANDSHAKE_EXID);
	return bpf_load_hdr_opt(ctx, o, sizeof(*o), where) == HANDSHAKE_LENGTH;
}

static __always_inline void write(struct bpf_sock_ops *ctx, const struct identity *who, u32 mac)
{
	struct option o = {.kind = HANDSHAKE_KIND, .length = HANDSHAKE_LENGTH, .exid = bpf_htons(HANDSHAKE_EXID)};
	o.tag_high = bpf_htonl(who->tag >> 32);
	o.tag_low = bpf_htonl(who->tag);
	o.pod = bpf_htonl(who->pod);
	o.mac = bpf_htonl(mac);
	bpf_store_hdr_opt(ctx, &o, sizeof(o), 0);
}

/* Take what the segment in hand tells of the peer into the key; returns whether it told anything. */
static __always_inline bool hear(struct bpf_sock_ops *ctx, struct edge_key *key, u32 isn, u32 peer_isn)
{
	struct option o = {};
	if (!find(ctx, &o, 0))
		return 0;
	if (is_right(&o, peer_isn, isn)) {
		key->peer_tag = tag_of(&o);
		key->peer_pod = bpf_ntohl(o.pod);
		key->told = TOLD_PROVEN;
	} else {
		key->told = TOLD_FORGED;
		lose(LOSS_HANDSHAKE_FORGED);
	}
	return 1;
}

/* Flags are shared by all programs on a socket: one that somebody else had set before us stays. */
static __always_inline void silence(struct bpf_sock_ops *ctx, struct connection *c)
{
	u32 flags = ctx->bpf_sock_ops_cb_flags;
	c->handshake = 0;
	bpf_sock_ops_cb_flags_set(ctx, flags & ~(OURS & ~(u32)c->not_ours));
}

static __always_inline struct deaf_peer *deaf_peer(const u32 remote[4])
{
	u64 mixed = ((u64)remote[0] << 32 | remote[1]) * 0x9e3779b97f4a7c15ULL ^ ((u64)remote[2] << 32 | remote[3]);
	u32 slot = mixed * 0x9e3779b97f4a7c15ULL >> 54 & (DEAF_PEERS - 1);
	return deaf_peers.lookup(&slot);
}

static __always_inline bool is_peer(const struct deaf_peer *p, const u32 remote[4])
{
	return p->remote[0] == remote[0] && p->remote[1] == remote[1] && p->remote[2] == remote[2] && p->remote[3] == remote[3];
}

static __always_inline bool is_deaf(const u32 remote[4])
{
	struct deaf_peer *p = deaf_peer(remote);
	return p && p->times >= DEAF_TIMES && is_peer(p, remote) && bpf_ktime_get_boot_ns() - p->since_boot_ns < DEAF_NS;
}

static __always_inline void heard_us(const u32 remote[4], bool heard)
{
	struct deaf_peer *p = deaf_peer(remote);
	if (!p || (heard && !(p->times && is_peer(p, remote))))
		return;
	if (heard) {
		p->times = 0;
		return;
	}
	p->times = is_peer(p, remote) ? p->times + 1 : 1;
	p->since_boot_ns = bpf_ktime_get_boot_ns();
	__builtin_memcpy(p->remote, remote, 16);
}

/* connect(): returns the flags to set. "key" is that of the edge before it may have fallen together with others. */
static __always_inline u32 tell(struct bpf_sock_ops *ctx, struct connection *c, const struct edge_key *key)
{
	if (!handshakes() || key->remote_prefix != 128 || !identities.lookup((u64 *)&key->cgroup) || is_deaf(key->remote))
		return 0;
	c->not_ours = ctx->bpf_sock_ops_cb_flags & OURS;
	c->handshake = TELLS;
	return BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
}

/*
 * Whoever listens while this is on can answer: who it is, is asked for each SYN. The flag is inherited by what it accepts, which takes
 * it off (accepted).
 */
static __always_inline void listens(struct bpf_sock_ops *ctx)
{
	if (handshakes())
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

static __always_inline struct syn_seen *syn_seen(u32 isn)
{
	u32 slot = isn * 0x9e3779b1U >> 20 & (SYNS_SEEN - 1);
	return syns_seen.lookup(&slot);
}

static __always_inline void check_syn(const struct option *o, u32 isn, u16 local_port, u16 remote_port)
{
	struct syn_seen *s = syn_seen(isn);
	if (!s)
		return;
	if (!is_right(o, isn, 0) || (s->isn == isn && s->mac == o->mac)) {
		lose(LOSS_HANDSHAKE_FORGED);
		return;
	}
	s->isn = isn;
	s->mac = o->mac;
	s->local_port = local_port;
	s->remote_port = remote_port;
}

/*
 * Is there to be an option in the SYN-ACK? Here there is no socket yet, but the SYN came to its listener in this very call, on this CPU
 * (owner.c). One that a timer sends again has no SYN in hand, and carries none.
 */
static __always_inline void reserve_synack(struct bpf_sock_ops *ctx, struct moment *m)
{
	u32 local_port = ctx->local_port, remote_port = bpf_ntohl(ctx->remote_port);
	struct option o = {};
	m->speaker.tag = 0;
	if (m->listener_port != local_port || m->listener_remote_port != remote_port || !find(ctx, &o, BPF_LOAD_HDR_OPT_TCP_SYN))
		return;
	check_syn(&o, m->listener_seq, local_port, remote_port);
	u64 cgroup = m->listener_cgroup;
	struct identity *who = identities.lookup(&cgroup);
	u32 local[4], remote[4];
	addresses(ctx, local, remote);
	if (who && collapse(remote) == 128 && !bpf_reserve_hdr_opt(ctx, HANDSHAKE_LENGTH, 0))
		m->speaker = *who;
}

/*
 * A socket of which we follow nothing: accepted while there was no slot, or while no program of ours ran. It has the flag from its
 * listener, unless whoever set it parses options, too.
 */
static __always_inline void leave(struct bpf_sock_ops *ctx)
{
	u32 flags = ctx->bpf_sock_ops_cb_flags;
	if (!(flags & PARSES))
		bpf_sock_ops_cb_flags_set(ctx, flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

/* HDR_OPT_LEN: before a segment is made (or its size estimated): how much room is wanted. */
static __always_inline void reserve(struct bpf_sock_ops *ctx)
{
	u32 zero = 0, flags = ctx->skb_tcp_flags, payload = ctx->skb_len;
	struct moment *m = moment.lookup(&zero);
	if (!m || !handshakes())
		return;
	if (!ctx->is_fullsock) {
		reserve_synack(ctx, m);
		return;
	}
	struct connection *c = connection(bpf_get_socket_cookie(ctx));
	if (!c)
		leave(ctx);
	if (!c || !c->handshake)
		return;
	if (flags & SYN && !(flags & ACK)) {
		if (c->handshake & WROTE) {
			silence(ctx, c);
			c->handshake = GAVE_UP;
		} else if (payload || bpf_reserve_hdr_opt(ctx, HANDSHAKE_LENGTH, 0)) {
			silence(ctx, c); /* a fast open, or no room beside the other options */
		}
	} else if (c->handshake & SIGNED || (flags & SYN && c->handshake & WROTE)) {
		bpf_reserve_hdr_opt(ctx, HANDSHAKE_LENGTH, 0); /* refused: this segment goes without */
	}
}

static __always_inline void write_synack(struct bpf_sock_ops *ctx, struct moment *m, const struct tcp_start *tcp)
{
	u32 isn = bpf_ntohl(tcp->seq), peer_isn = bpf_ntohl(tcp->ack) - 1, mac;
	struct identity who = m->speaker;
	m->speaker.tag = 0;
	if (who.tag && m->listener_seq == peer_isn && sign(&who, isn, peer_isn, &mac))
		write(ctx, &who, mac);
}

/* WRITE_HDR_OPT: the header stands, but for the room that was reserved. What is not filled becomes no-operations. */
static __always_inline void write_option(struct bpf_sock_ops *ctx)
{
	struct tcp_start *tcp = (void *)(long)ctx->skb_data;
	void *end = (void *)(long)ctx->skb_data_end;
	u32 zero = 0, mac;
	struct moment *m = moment.lookup(&zero);
	if ((void *)(tcp + 1) > end || !m || !handshakes())
		return;
	if (!ctx->is_fullsock) {
		write_synack(ctx, m, tcp);
		return;
	}
	struct connection *c = connection(bpf_get_socket_cookie(ctx));
	struct identity *who = c && c->handshake ? identities.lookup(&c->key.cgroup) : 0;
	if (!who)
		return;
	u8 flags = tcp->flags;
	if (flags & SYN) {
		/* With an ACK: the other side called as well, and its number is known; what follows tells the same. */
		if (!sign(who, bpf_ntohl(tcp->seq), flags & ACK ? bpf_ntohl(tcp->ack) - 1 : 0, &mac))
			return;
		c->mac = mac;
		c->handshake |= flags & ACK ? WROTE | SIGNED : WROTE;
	} else if (!(c->handshake & SIGNED)) {
		return;
	}
	write(ctx, who, c->mac);
	if (c->handshake & ANSWERS && ++c->written >= ANSWERS_WRITTEN)
		silence(ctx, c);
}

/* Our side is established: sign with both numbers from here on. Returns the flags that this needs. */
static __always_inline u32 go_on(struct connection *c, u32 isn, u32 peer_isn, u8 how)
{
	struct identity *who = identities.lookup(&c->key.cgroup);
	u32 mac;
	if (!who || !sign(who, isn, peer_isn, &mac))
		return 0;
	c->isn = isn;
	c->peer_isn = peer_isn;
	c->mac = mac;
	c->handshake |= SIGNED | how;
	return how & ANSWERS ? BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG
			     : OURS;
}

/*
 * ACTIVE_ESTABLISHED, or the end of a simultaneous open. The segment in hand may tell who the peer is; where it does not, the first
 * that the peer sends may. Until then ours carry the option: the first of them establishes the peer. Returns what is established.
 */
static __always_inline u32 answered_call(struct bpf_sock_ops *ctx, struct connection *c, bool simultaneous)
{
	u32 isn = ctx->snd_una - 1, peer_isn = ctx->rcv_nxt - 1;
	u8 done = c->handshake;
	bool exact = c->key.remote_prefix == 128;
	if (exact && done & GAVE_UP)
		heard_us(c->key.remote, 0);
	if (!(done & WROTE)) {
		if (done & TELLS)
			silence(ctx, c);
		c->handshake = 0;
		return ESTABLISHED;
	}
	struct edge_key told = c->key;
	bool heard = hear(ctx, &told, isn, peer_isn);
	if (heard && exact) {
		make_room(&told);
		c->key = told;
	}
	u32 wanted = go_on(c, isn, peer_isn, 0);
	if (!wanted) {
		silence(ctx, c);
		return ESTABLISHED;
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | wanted);
	return heard || simultaneous || !exact ? ESTABLISHED : ESTABLISHED_UNTOLD;
}

/* PASSIVE_ESTABLISHED, before the key is put where user space may read it. */
static __always_inline void hear_caller(struct bpf_sock_ops *ctx, struct edge_key *key)
{
	u32 flags = ctx->skb_tcp_flags, isn = ctx->snd_una - 1, peer_isn = ctx->rcv_nxt - 1;
	u32 local_port = ctx->local_port, remote_port = bpf_ntohl(ctx->remote_port);
	if (!handshakes() || (flags & SYN && !(flags & ACK))) /* a fast open is established by its SYN, which proves nothing */
		return;
	if (hear(ctx, key, isn, peer_isn))
		return;
	struct syn_seen *s = syn_seen(peer_isn);
	if (s && s->mac && s->isn == peer_isn && s->local_port == local_port && s->remote_port == remote_port)
		lose(LOSS_HANDSHAKE_UNPROVEN);
}

/*
 * The flags of an accepted socket, beside those of others. A listener of ours has WRITE_HDR_OPT set, and its SYN-ACK could tell who we
 * are; one that is older has not. Whoever else uses header options parses them, too: then the flag is theirs.
 */
static __always_inline u32 accepted(struct connection *c, const struct edge_key *key, u32 flags, u32 isn, u32 peer_isn)
{
	if (flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
		return flags & PARSES ? flags : flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
	if (key->told == TOLD_NOTHING || key->remote_prefix != 128)
		return flags;
	c->not_ours = flags & OURS;
	return flags | go_on(c, isn, peer_isn, ANSWERS);
}

/*
 * PARSE_HDR_OPT, or RTT where the kernel's fast path passes the parser by: the peer is established, it has sent a segment. RETRANS: it
 * has not, and what lies between may drop what carries an option; whatever is sent again after this carries none.
 */
static __always_inline void first_segment(struct bpf_sock_ops *ctx, u32 op)
{
	struct connection *c = connection(bpf_get_socket_cookie(ctx));
	bool parse = op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB;
	if (!c || !c->established || !(c->handshake & SIGNED) || (parse && c->handshake & ANSWERS))
		return;
	if (!(c->handshake & ANSWERS) && c->key.remote_prefix == 128)
		heard_us(c->key.remote, op != BPF_SOCK_OPS_RETRANS_CB);
	if (c->established == ESTABLISHED_UNTOLD) {
		struct edge_key told = c->key;
		if (parse && hear(ctx, &told, c->isn, c->peer_isn)) {
			make_room(&told);
			c->key = told;
		}
		IN_ORDER();
		c->established = ESTABLISHED;
	}
	silence(ctx, c);
}

/* The kernel's own sockets have their options from us: one in a packet from any other is forged, by a pod with CAP_NET_RAW. */
static __always_inline void check_sender(struct __sk_buff *skb, u32 offset, u32 length)
{
	enum { SOCK_STREAM = 1 };
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;
	if (sk && sk->type != SOCK_STREAM && carries_option(skb, offset, length))
		lose(LOSS_HANDSHAKE_RAW);
}
