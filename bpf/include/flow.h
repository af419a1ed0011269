/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ABI between the kernel programs and agent/wire.py: what lies in the maps and rings, byte by byte.
 * A contract test compiles this file with the host's compiler and compares every name, offset and size with wire.py.
 * Any change here needs a new ABI_VERSION: it names the pin directory, so that an upgraded agent never reads old maps.
 *
 * Addresses are 16 bytes in network order; IPv4 is ::ffff:a.b.c.d, also for IPv4-mapped sockets. Ports are in host order.
 * *_boot_ns is bpf_ktime_get_boot_ns. Everything known of pods or Kubernetes lives in user space.
 */
#ifndef IPSEITY_FLOW_H
#define IPSEITY_FLOW_H

#define ABI_VERSION 3

#define HISTOGRAM_BUCKETS 16 /* bucket i counts values below 64 us * 2^i; the last one takes the rest */
#define HISTOGRAM_FIRST_LOG2 6

enum direction { EGRESS = 0, INGRESS = 1 };

enum fail_cause { FAIL_REFUSED, FAIL_TIMED_OUT, FAIL_RESET, FAIL_UNREACHABLE, FAIL_OTHER, FAIL_CAUSES };

#define END_CLOSED 0xff /* connection_record.end: closed in order; else an enum fail_cause */

/* Losses and oddities, one slot each in the per-CPU array "losses". Every one ends up in a metric. */
enum loss {
	LOSS_EDGES_FULL,      /* no room for a new edge: what was to be charged to it is not counted */
	LOSS_SOCKETS_FULL,    /* no room to follow one more open connection (or UDP socket): it is not counted */
	LOSS_OWNER,           /* a connection whose owner could not be told: counted under cgroup 0 */
	LOSS_RECORD_RING,     /* a connection record did not fit its ring */
	LOSS_CGROUP_RING,     /* a cgroup event did not fit its ring: a scan of the tree repairs it */
	LOSS_HANDSHAKE_FORGED,   /* an option of ours with a wrong MAC, or one that was used before: not believed */
	LOSS_HANDSHAKE_UNPROVEN, /* the SYN had a right option, what established the connection had none: not believed */
	LOSS_HANDSHAKE_RAW,      /* an option of ours that left a local socket which is not TCP's: made by hand */
	LOSS_COUNT,
};

/* What the peer told of itself in the handshake (docs/adr/0015): only what was proven is in peer_tag and peer_pod. */
enum told { TOLD_NOTHING = 0, TOLD_PROVEN = 1, TOLD_FORGED = 2 /* an option came and was not believed */ };

/* One edge: everything between one local owner and one peer for one service. */
struct edge_key {
	u64 cgroup;      /* of the socket: where it was made, or its listener; 0: could not be told */
	u64 netns;       /* cookie; 0: unknown */
	u32 local[4];
	u32 remote[4];   /* exact within the cluster's prefixes, else the prefix it fell into */
	u64 peer_tag;    /* identity proven in the handshake; 0: none */
	u32 peer_pod;    /* the pod, likewise */
	u16 port;        /* service port: the remote one for EGRESS, the local one for INGRESS; 0: it fell together with others */
	u8 direction;
	u8 protocol;     /* IPPROTO_TCP or IPPROTO_UDP */
	u8 remote_prefix; /* length in bits of what "remote" keeps; 128: exact */
	u8 told;         /* enum told */
	u8 pad[6];
};

/*
 * An edge is named after the connection (UDP: the datagram) that made it: when that began, and on which CPU, which cannot begin two in
 * one nanosecond. So the name of an edge that is charged at the end says since when it may have been.
 */
#define EDGE_ID(boot_ns, cpu) ((boot_ns) << 8 | ((cpu) & 0xff))

/* What happened on it since it was made: only ever added to, so a reader takes differences. */
struct edge_value {
	u64 id;             /* unique for the life of the map: EDGE_ID of what made it. A reused key has a new id */
	u64 last_boot_ns;
	u64 sent_bytes;     /* payload that the peer acknowledged; UDP: payload handed to IP */
	u64 received_bytes; /* payload received in order */
	u64 rtt_us_sum;
	u64 connect_us_sum;
	u32 opened;         /* established connections that ended: those that are open stand in their slots (struct connection) */
	u32 closed;         /* the same, however they ended */
	u32 failed[FAIL_CAUSES]; /* attempts that never established, and connections that broke */
	u32 sent_segments;  /* UDP: datagrams */
	u32 received_segments;
	u32 retransmits;
	u32 rtt[HISTOGRAM_BUCKETS];     /* smoothed RTT at the end of each connection */
	u32 connect[HISTOGRAM_BUCKETS]; /* SYN to established, active ends */
};

/*
 * An open TCP connection, by socket cookie, from SYN (active) or established (passive) to its end. It holds the edge that is charged when
 * it ends; until then its bytes stay in the kernel's own socket, and that it is open is read from here.
 *
 * User space reads slots while they are written (agent/kernel.py says how), so the order of stores is part of the ABI:
 *   begin  cookie, opened_boot_ns, then the rest with "key" whole, then "established"
 *   end    "established" is cleared, then the edge is charged, then cookie
 * An established slot has its whole key, and was not charged to any edge when it was read. ESTABLISHED_UNTOLD is not it yet: who the peer
 * is may still be told by its first segment, which makes it ESTABLISHED.
 */
enum established { NOT_ESTABLISHED = 0, ESTABLISHED = 1, ESTABLISHED_UNTOLD = 2 };
struct connection {
	u64 cookie;          /* 0: the slot is free. A socket that connects again has the same one, with another opened_boot_ns */
	u64 opened_boot_ns;  /* active: SYN; passive: established */
	u32 connect_us;      /* active: SYN to established */
	u32 fin_wait2_received; /* low half of bytes_received when our FIN was acknowledged: tells whether the peer's FIN came after */
	u32 established;     /* enum established */
	u32 cpu;             /* it began on: EDGE_ID(opened_boot_ns, cpu) is the id of an edge that it makes */
	u32 isn;             /* our initial sequence number; with peer_isn and mac, once both are known and an option may be written */
	u32 peer_isn;
	u32 mac;             /* of every option that we write once established */
	u8 handshake;        /* what of the handshake was done: bpf/handshake.c */
	u8 not_ours;         /* callback flags that somebody else had set before us */
	u8 written;          /* options since established */
	u8 pad;
	struct edge_key key;
};

/* One ended or failed connection, for the flow log. */
struct connection_record {
	u64 cookie;
	u64 cgroup;
	u64 netns;
	u32 local[4];
	u32 remote[4];
	u64 peer_tag;
	u64 opened_boot_ns;
	u64 ended_boot_ns;
	u64 sent_bytes;
	u64 received_bytes;
	u32 rtt_us;
	u32 connect_us;
	u32 retransmits;
	u32 sent_segments;
	u32 received_segments;
	u32 peer_pod;
	u16 local_port;
	u16 remote_port;
	u8 direction;
	u8 protocol;
	u8 end;              /* END_CLOSED or an enum fail_cause */
	u8 established;
	u8 told;             /* enum told */
	u8 pad[7];
};

/* A cgroup came or went: tells the id's path also for a cgroup that lives only milliseconds. */
#define CGROUP_PATH 408
struct cgroup_record {
	u64 cgroup;
	u64 boot_ns;
	u32 gone;
	u32 length; /* of path with its NUL; CGROUP_PATH: cut */
	char path[CGROUP_PATH];
};

/* What user space sets before the programs run, and while they do. One entry, key 0. */
struct kernel_settings {
	u32 records;      /* 1: write connection records */
	u32 keep_private; /* 1: private, loopback and link-local addresses stay exact without a look into the trie */
	u32 crowded;      /* how many owners are in the map "crowded" */
	u32 handshake;    /* 1: tell and read identities in TCP handshakes */
};

/* Who a cgroup is: value of the map "identities". */
struct identity {
	u64 tag; /* ipseity.identity.identity_tag of its SPIFFE ID; never 0 */
	u32 pod; /* ipseity.identity.pod_tag of its UID; never 0 */
	u32 pad;
};

/* Two keys of SipHash-2-4: the first signs, both verify. */
struct handshake_key {
	u64 k0;
	u64 k1;
	u32 valid;
	u32 pad;
};
#define HANDSHAKE_KEYS 2

/* The option (RFC 6994: experiment's kind, and a number of ours in it). On the wire all numbers are in network order. */
#define HANDSHAKE_KIND 253
#define HANDSHAKE_EXID 0x1D1D
#define HANDSHAKE_LENGTH 20

/* Key of the prefix trie: which remote addresses stay exact (value 128) and which collapse (value: bits to keep). */
struct prefix_key {
	u32 bits;
	u32 address[4];
};

_Static_assert(sizeof(struct edge_key) == 72, "edge_key");
_Static_assert(sizeof(struct edge_value) == 216, "edge_value");
_Static_assert(sizeof(struct connection) == 120, "connection");
_Static_assert(sizeof(struct connection_record) == 136, "connection_record");
_Static_assert(sizeof(struct cgroup_record) == 432, "cgroup_record");
_Static_assert(sizeof(struct identity) == 16, "identity");
_Static_assert(sizeof(struct handshake_key) == 24, "handshake_key");
_Static_assert(sizeof(struct prefix_key) == 20, "prefix_key");

#endif
