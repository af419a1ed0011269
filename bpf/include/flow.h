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

#define ABI_VERSION 2

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
	LOSS_COUNT,
};

/* One edge: everything between one local owner and one peer for one service. */
struct edge_key {
	u64 cgroup;      /* of the socket: where it was made, or its listener; 0: could not be told */
	u64 netns;       /* cookie; 0: unknown */
	u32 local[4];
	u32 remote[4];   /* exact within the cluster's prefixes, else the prefix it fell into */
	u64 peer_tag;    /* identity told in the handshake; 0: none */
	u16 port;        /* service port: the remote one for EGRESS, the local one for INGRESS; 0: it fell together with others */
	u8 direction;
	u8 protocol;     /* IPPROTO_TCP or IPPROTO_UDP */
	u8 remote_prefix; /* length in bits of what "remote" keeps; 128: exact */
	u8 pad[3];
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
 * An established slot has its whole key, and was not charged to any edge when it was read.
 */
struct connection {
	u64 cookie;          /* 0: the slot is free. A socket that connects again has the same one, with another opened_boot_ns */
	u64 opened_boot_ns;  /* active: SYN; passive: established */
	u32 connect_us;      /* active: SYN to established */
	u32 fin_wait2_received; /* low half of bytes_received when our FIN was acknowledged: tells whether the peer's FIN came after */
	u32 established;
	u32 cpu;             /* it began on: EDGE_ID(opened_boot_ns, cpu) is the id of an edge that it makes */
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
	u16 local_port;
	u16 remote_port;
	u8 direction;
	u8 protocol;
	u8 end;              /* END_CLOSED or an enum fail_cause */
	u8 established;
	u8 pad[4];
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

/* What user space sets before the programs run. One entry, key 0. */
struct kernel_settings {
	u32 records;      /* 1: write connection records */
	u32 keep_private; /* 1: private, loopback and link-local addresses stay exact without a look into the trie */
	u32 crowded;      /* how many owners are in the map "crowded" */
};

/* Key of the prefix trie: which remote addresses stay exact (value 128) and which collapse (value: bits to keep). */
struct prefix_key {
	u32 bits;
	u32 address[4];
};

_Static_assert(sizeof(struct edge_key) == 64, "edge_key");
_Static_assert(sizeof(struct edge_value) == 216, "edge_value");
_Static_assert(sizeof(struct connection) == 96, "connection");
_Static_assert(sizeof(struct connection_record) == 128, "connection_record");
_Static_assert(sizeof(struct cgroup_record) == 432, "cgroup_record");
_Static_assert(sizeof(struct prefix_key) == 20, "prefix_key");

#endif
