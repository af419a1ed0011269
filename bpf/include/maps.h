/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps, shared by all programs: the loader compiles them as one unit. Sizes come from the loader (-D).
 *
 * edges        preallocated, so that nothing is allocated in softirq: 65,536 x (72 key + 216 value + 48 header) = 21 MiB.
 *              Not LRU: nothing is ever evicted silently; user space deletes what is idle and has nothing open.
 * connections  an array of slots that the cookie picks, two to try: no lock, no hash, no allocation; what finds both taken goes to
 *              "overflow". 65,536 x 120 + 2,048 x (8 + 120 + 48) = 7.8 MiB; user space maps the array. Socket-local storage would need no bound, but allocates for
 *              each socket; a hash takes a lock to insert and to delete (docs/adr/0005).
 * crowded      owners (cgroups) that fill the table of edges, written by user space: what they reach anew falls together.
 * identities   what a cgroup says of itself in a handshake, written by user space; its size is fixed: a node has some hundred pods.
 * handshake_keys  what it is signed with.
 * udp_sockets  socket-local storage: one byte of direction, freed with the socket.
 * moment       per CPU: what the packet or error in hand is about, for the program that runs next in the same call.
 */
enum { AF_INET = 2, IPPROTO_TCP = 6, IPPROTO_UDP = 17, MAX_IDENTITIES = 4096 }; /* no header package, so no header */

BPF_TABLE("hash", struct edge_key, struct edge_value, edges, MAX_EDGES);
BPF_PERCPU_ARRAY(losses, u64, LOSS_COUNT);
BPF_ARRAY(kernel_settings, struct kernel_settings, 1);
BPF_LPM_TRIE(prefixes, struct prefix_key, u32, MAX_PREFIXES);
BPF_TABLE("hash", u64, struct identity, identities, MAX_IDENTITIES);
BPF_ARRAY(handshake_keys, struct handshake_key, HANDSHAKE_KEYS);
BPF_TABLE("hash", u64, u8, crowded, 16); /* each has more than a quarter of the table */
BPF_RINGBUF_OUTPUT(records, RECORD_RING_PAGES);
BPF_RINGBUF_OUTPUT(cgroups, CGROUP_RING_PAGES);

BPF_F_TABLE("array", u32, struct connection, connections, MAX_CONNECTIONS, BPF_F_MMAPABLE); /* MAX_CONNECTIONS: a power of two */
BPF_TABLE("hash", u64, struct connection, overflow, MAX_OVERFLOW);
struct udp_socket { u8 decided; u8 direction; u8 pad[6]; };
BPF_SK_STORAGE(udp_sockets, struct udp_socket);

struct moment {
	u64 listener_cgroup; /* of the listener that the packet in hand is for */
	u32 listener_port;
	u32 listener_remote_port; /* and the sequence number: of that packet */
	u32 listener_seq;
	u32 pad0;
	struct identity speaker; /* whose option the SYN-ACK in hand has room for; tag 0: none */
	u64 reset_cookie;  /* a RST arrived for this socket */
	u32 remote[4];     /* the socket that "error" or "ended" speaks of */
	u16 local_port;
	u16 remote_port;
	u8 error;          /* fail_cause + 1 reported before its close; 0: none */
	u8 ended;          /* 1: a close was counted whose error may still be reported */
	u8 cause;          /* what that close was counted as: a fail_cause, or FAIL_CAUSES for none */
	u8 pad;
	struct edge_key key;
};
BPF_PERCPU_ARRAY(moment, struct moment, 1);

/* Stores before it are seen before stores after it: x86 keeps them in order, this keeps the compiler to it. */
#define IN_ORDER() asm volatile("" ::: "memory")

static __always_inline void lose(u32 what)
{
	u64 *slot = losses.lookup(&what);
	if (slot)
		*slot += 1;
}

static __always_inline u32 first_slot(u64 cookie)
{
	return cookie & (MAX_CONNECTIONS - 1);
}

static __always_inline u32 second_slot(u64 cookie)
{
	return (cookie * 0x9e3779b97f4a7c15ULL >> 40) & (MAX_CONNECTIONS - 1);
}

static __always_inline struct connection *connection(u64 cookie)
{
	u32 slot = first_slot(cookie);
	struct connection *c = connections.lookup(&slot);
	if (c && c->cookie == cookie)
		return c;
	slot = second_slot(cookie);
	c = connections.lookup(&slot);
	if (c && c->cookie == cookie)
		return c;
	return overflow.lookup(&cookie);
}

/* Two CPUs may want the same free slot in the same nanoseconds: one of them gets it. Before 5.12 no instruction can tell. */
static __always_inline bool take_slot(struct connection *c, u64 cookie)
{
	if (!c || c->cookie)
		return 0;
#if KERNEL >= KERNEL_VERSION(5, 12, 0)
	return __sync_val_compare_and_swap(&c->cookie, 0, cookie) == 0;
#else
	c->cookie = cookie;
	return 1;
#endif
}

/* Make one with nothing but its cookie set. Its owner alone writes to it until end_connection. */
static __always_inline struct connection *new_connection(u64 cookie)
{
	u32 slot = first_slot(cookie);
	struct connection *c = connections.lookup(&slot);
	if (!take_slot(c, cookie)) {
		slot = second_slot(cookie);
		c = connections.lookup(&slot);
		if (!take_slot(c, cookie)) {
			struct connection fresh = {.cookie = cookie};
			overflow.update(&cookie, &fresh);
			return overflow.lookup(&cookie);
		}
	}
	c->connect_us = c->fin_wait2_received = 0;
	c->handshake = c->not_ours = c->written = 0; /* and "established" is 0: whoever had the slot has cleared it */
	return c;
}

static __always_inline void end_connection(struct connection *c, u64 cookie)
{
	u32 first = first_slot(cookie), second = second_slot(cookie);
	if (c == connections.lookup(&first) || c == connections.lookup(&second))
		c->cookie = 0;
	else
		overflow.delete(&cookie);
}

#define IPV4_MAPPED bpf_htonl(0xffff)

static __always_inline bool is_crowded(u64 cgroup)
{
	u32 zero = 0;
	struct kernel_settings *settings = kernel_settings.lookup(&zero);
	return settings && settings->crowded && crowded.lookup(&cgroup);
}

/* One edge for all that this owner reaches from here, by family; for what reaches it, by its own port. */
static __always_inline void fall_together(struct edge_key *key)
{
	bool four = key->remote[0] == 0 && key->remote[1] == 0 && key->remote[2] == IPV4_MAPPED;
	key->remote[0] = key->remote[1] = key->remote[3] = 0;
	key->remote[2] = four ? IPV4_MAPPED : 0;
	key->remote_prefix = four ? 96 : 0;
	key->peer_tag = key->peer_pod = key->told = 0;
	if (key->direction == EGRESS)
		key->port = 0;
}

/* A connection that begins: the key that it has now is the one that is charged when it ends, crowded or not by then. */
static __always_inline void make_room(struct edge_key *key)
{
	if (is_crowded(key->cgroup) && !edges.lookup(key))
		fall_together(key);
}

/*
 * Find or make the edge; one that is made is named "id". A full table is counted. Where there is none and the owner is crowded, "key"
 * becomes that of all it reaches: nothing was told of it yet under the exact one, which user space would have entered here.
 */
static __always_inline struct edge_value *edge(struct edge_key *key, u64 id)
{
	struct edge_value *value = edges.lookup(key);
	if (value)
		return value;
	if (is_crowded(key->cgroup)) {
		fall_together(key);
		value = edges.lookup(key);
		if (value)
			return value;
	}
	struct edge_value fresh = {.id = id};
	edges.insert(key, &fresh);
	value = edges.lookup(key);
	if (!value)
		lose(LOSS_EDGES_FULL);
	return value;
}

#define ADD(field, amount) __sync_fetch_and_add(&(field), (amount))

static __always_inline u32 bucket(u32 us)
{
	u32 above = us >> HISTOGRAM_FIRST_LOG2;
	u32 index = above ? bpf_log2(above) + 1 : 0;
	index = index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
	/* The verifiers of 5.10 and 6.1 lose that bound; the mask tells it again, the barrier keeps clang from dropping the mask. */
	asm volatile("" : "+r"(index));
	return index & (HISTOGRAM_BUCKETS - 1);
}

/* RFC 1918, 6598, 3927, loopback; RFC 4193, 4291: what clusters number their pods, services and nodes from. */
static __always_inline bool private_address(const u32 address[4])
{
	u32 first = bpf_ntohl(address[0]), last = bpf_ntohl(address[3]);
	if (address[0] == 0 && address[1] == 0 && address[2] == IPV4_MAPPED)
		return last >> 24 == 10 || last >> 20 == 0xac1 || last >> 16 == 0xc0a8 || last >> 24 == 127 || last >> 22 == 0x191 ||
		       last >> 16 == 0xa9fe;
	return first >> 25 == 0x7e || first >> 22 == 0x3fa || (address[0] == 0 && address[1] == 0 && address[2] == 0 && last == 1);
}

/* Keep the address where the settings say so, else keep only the prefix it fell into. Returns the bits kept. */
static __always_inline u8 collapse(u32 address[4])
{
	u32 zero = 0;
	struct kernel_settings *settings = kernel_settings.lookup(&zero);
	if (settings && settings->keep_private && private_address(address))
		return 128;
	struct prefix_key key = {.bits = 128};
	__builtin_memcpy(key.address, address, 16);
	u32 *found = prefixes.lookup(&key);
	u32 keep = found ? *found : 0;
	if (keep >= 128)
		return 128;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		u32 bits = keep > 32 * i ? keep - 32 * i : 0;
		if (bits < 32)
			address[i] &= bits ? bpf_htonl(~0U << (32 - bits)) : 0;
	}
	return keep;
}
