/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps, shared by all programs: the loader compiles them as one unit. Sizes come from the loader (-D).
 *
 * edges     preallocated, so that nothing is allocated in softirq: 65,536 x (64 key + 224 value + 48 header) = 21 MiB.
 *           Not LRU: nothing is ever evicted silently; user space deletes what is idle.
 * sockets   socket-local storage; the kernel frees it with the socket. CLONE: an accepted socket starts with its listener's.
 * moment    per CPU: what the last reset or error on this CPU was about, to name the cause of the close that it comes with.
 */
enum { AF_INET = 2, IPPROTO_TCP = 6, IPPROTO_UDP = 17 }; /* no header package, so no header */

BPF_TABLE("hash", struct edge_key, struct edge_value, edges, MAX_EDGES);
BPF_PERCPU_ARRAY(losses, u64, LOSS_COUNT);
BPF_ARRAY(kernel_settings, struct kernel_settings, 1);
BPF_LPM_TRIE(prefixes, struct prefix_key, u32, MAX_PREFIXES);
BPF_RINGBUF_OUTPUT(records, RECORD_RING_PAGES);
BPF_RINGBUF_OUTPUT(cgroups, CGROUP_RING_PAGES);

/* BPF_SK_STORAGE of BCC has no flags parameter, and we need BPF_F_CLONE. */
struct sockets_table_t {
	int key;
	struct socket_state leaf;
	void *(*sk_storage_get)(void *, void *, int);
	int (*sk_storage_delete)(void *);
	u64 flags;
};
__attribute__((section("maps/sk_storage"))) struct sockets_table_t sockets = {.flags = BPF_F_NO_PREALLOC | BPF_F_CLONE};
BPF_ANNOTATE_KV_PAIR(sockets, int, struct socket_state);

struct moment {
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

static __always_inline void lose(u32 what)
{
	u64 *slot = losses.lookup(&what);
	if (slot)
		*slot += 1;
}

/* Find or make the edge. A full table is counted; the caller keeps its difference for the next time. */
static __always_inline struct edge_value *edge(struct edge_key *key, u64 now)
{
	struct edge_value *value = edges.lookup(key);
	if (value)
		return value;
	struct edge_value fresh = {};
	fresh.id = now << 8 | (bpf_get_smp_processor_id() & 0xff);
	fresh.first_boot_ns = now;
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

/* Keep the address where the prefix trie says so, else keep only the prefix it fell into. */
static __always_inline u8 collapse(u32 address[4])
{
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

#define IPV4_MAPPED bpf_htonl(0xffff)
