/*
 * Load at a fixed rate for what the mesh adds to a request, and the server that answers it. In C, so that what is
 * measured is what lies between them and not an interpreter.
 *
 *   mesh_load serve PORT...    answer every HTTP/1.1 request with the same 612 bytes of body; until it is ended
 *   mesh_load ask CONNECTIONS RATE COUNT SWAP SKIP (PID ADDRESS PORT)...
 *                              COUNT requests to each side, from the network namespace of process PID. The k-th of all
 *                              is due at k/RATE seconds, whatever became of those before it, to one side and then to
 *                              the other; after SWAP of each the other one is first. So a stall of the machine meets
 *                              both sides alike, and neither is always the one that comes just after a tick of the
 *                              kernel's clock. A latency counts from when the request was due, so that a stall is paid
 *                              for by every request that it held up. Prints a line for each side, of all but its first
 *                              SKIP: "count failed p50 p99 p99.9 max", times in microseconds
 *
 * The requests of a side go to its connections in turn. One waits in its connection's queue while the one before it is
 * not answered: no pipelining.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 612, MOST = 1024, SIDES = 2, EVENTS = 64 };

struct peer {
	int fd;
	int listening;
	size_t filled;   /* bytes of `in` */
	uint64_t asked;  /* requests due so far, of which `sent` and `answered` were */
	uint64_t sent, answered;
	struct side *side;
	size_t number;   /* among those of its side */
	char in[4096];
};

static char reply[4096];
static size_t reply_size;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void watch(int poll, struct peer *peer)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };
	int one = 1;
	if (!peer->listening)
		setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (epoll_ctl(poll, EPOLL_CTL_ADD, peer->fd, &event))
		die("epoll_ctl");
}

static void put(int fd, const char *bytes, size_t size)
{
	if (write(fd, bytes, size) != (ssize_t)size && errno != EPIPE && errno != ECONNRESET)
		die("write");  /* small messages on idle connections: never in parts */
}

/* Read what is there; gives the bytes read now, 0 at the end. */
static size_t fill(struct peer *peer)
{
	ssize_t got = read(peer->fd, peer->in + peer->filled, sizeof peer->in - 1 - peer->filled);
	if (got <= 0)
		return 0;
	peer->filled += got;
	peer->in[peer->filled] = 0;
	return got;
}

/* Drop a whole message from the buffer; 0: there is none yet. */
static int take(struct peer *peer, size_t body)
{
	char *end = strstr(peer->in, "\r\n\r\n");
	size_t size = end ? end + 4 - peer->in + body : 0;
	if (!size || peer->filled < size)
		return 0;
	peer->filled -= size;
	memmove(peer->in, peer->in + size, peer->filled + 1);
	return 1;
}

static void end(struct peer *peer)
{
	close(peer->fd);
	free(peer);
}

static void accept_one(int poll, int fd)
{
	struct peer *peer = calloc(1, sizeof *peer);
	peer->fd = accept(fd, NULL, NULL);
	if (peer->fd < 0)
		die("accept");
	watch(poll, peer);
}

static void listen_on(int poll, uint16_t port)
{
	struct peer *peer = calloc(1, sizeof *peer);
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1;
	peer->listening = 1;
	peer->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(peer->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(peer->fd, (struct sockaddr *)&any, sizeof any) || listen(peer->fd, 512))
		die("listen");
	watch(poll, peer);
}

static _Noreturn void serve(char **ports)
{
	int poll = epoll_create1(0);
	struct epoll_event events[EVENTS];
	for (; *ports; ports++)
		listen_on(poll, atoi(*ports));
	for (;;) {
		int count = epoll_wait(poll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			struct peer *peer = events[i].data.ptr;
			if (peer->listening)
				accept_one(poll, peer->fd);
			else if (!fill(peer))
				end(peer);
			else
				while (take(peer, 0))
					put(peer->fd, reply, reply_size);
		}
	}
}

struct side {
	struct peer peers[MOST];
	size_t connections;
	uint64_t due, answered; /* requests so far */
	uint64_t *due_ns;       /* by request */
	uint64_t *latency_ns;   /* by request; 0: not answered */
};

struct load {
	struct side side[SIDES];
	size_t sides;
	uint64_t rate, swap, count, due; /* `count` of each side, `due` of all */
	uint64_t start_ns;
};

static uint64_t due_ns(const struct load *load, uint64_t request)
{
	return load->start_ns + request * 1000000000ull / load->rate;
}

static struct side *whose(struct load *load, uint64_t request)
{
	uint64_t turn = request % load->sides, cycle = request / load->sides;
	return &load->side[cycle / load->swap % 2 ? load->sides - 1 - turn : turn];
}

static void send_next(struct peer *peer)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: web\r\nUser-Agent: mesh_load\r\n\r\n";
	if (peer->sent < peer->asked && peer->sent == peer->answered) {
		put(peer->fd, request, sizeof request - 1);
		peer->sent++;
	}
}

static void hand_out(struct load *load, int timer)
{
	struct itimerspec next = { 0 };
	uint64_t now = now_ns(), at, ticks;
	if (read(timer, &ticks, sizeof ticks) < 0)
		die("timer");
	for (; load->due < load->count * load->sides && due_ns(load, load->due) <= now; load->due++) {
		struct side *side = whose(load, load->due);
		struct peer *peer = &side->peers[side->due % side->connections];
		side->due_ns[side->due++] = due_ns(load, load->due);
		peer->asked++;
		send_next(peer);
	}
	at = due_ns(load, load->due);
	next.it_value = (struct timespec){ .tv_sec = at / 1000000000ull, .tv_nsec = at % 1000000000ull };
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &next, NULL);
}

static int hear(struct peer *peer)
{
	struct side *side = peer->side;
	if (!fill(peer))
		return 0;
	while (take(peer, BODY)) {
		uint64_t request = peer->answered++ * side->connections + peer->number;
		side->latency_ns[request] = now_ns() - side->due_ns[request];
		side->answered++;
		send_next(peer);
	}
	return 1;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void report(struct side *side, uint64_t skip, uint64_t count)
{
	uint64_t *from = side->latency_ns + skip, failed = 0;
	static const double at[] = { 0.5, 0.99, 0.999, 1 };
	for (uint64_t i = 0; i < count; i++)
		if (!from[i]) {
			from[i] = UINT64_MAX; /* the worst there is */
			failed++;
		}
	qsort(from, count, sizeof *from, ascending);
	printf("%llu %llu", (unsigned long long)count, (unsigned long long)failed);
	for (size_t i = 0; i < sizeof at / sizeof *at; i++)
		printf(" %.1f", from[(uint64_t)(at[i] * (count - 1))] / 1000.0);
	printf("\n");
}

static void enter(const char *pid)
{
	char path[64];
	int fd;
	snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

/* A socket stays in the network namespace in which it was made. */
static void connect_all(struct side *side, int poll, char **words)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(atoi(words[2])) };
	if (inet_pton(AF_INET, words[1], &there.sin_addr) != 1)
		die("address");
	enter(words[0]);
	for (size_t i = 0; i < side->connections; i++) {
		struct peer *peer = &side->peers[i];
		peer->side = side;
		peer->number = i;
		peer->fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(peer->fd, (struct sockaddr *)&there, sizeof there))
			die("connect");
		watch(poll, peer);
	}
}

static int answered(const struct load *load)
{
	for (size_t i = 0; i < load->sides; i++)
		if (load->side[i].answered < load->count)
			return 0;
	return 1;
}

static int ask(int count, char **words)
{
	static struct load load;
	struct epoll_event events[EVENTS], tick = { .events = EPOLLIN };
	int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t connections = atoi(words[0]), skip = atoi(words[4]), until;
	struct itimerspec first = { .it_value.tv_nsec = 1000000 };
	load.rate = atoi(words[1]);
	load.count = atoi(words[2]);
	load.swap = atoi(words[3]);
	load.sides = (count - 5) / 3;
	if (!connections || connections > MOST || !load.rate || !load.swap || load.count <= skip)
		die("numbers");
	prctl(PR_SET_TIMERSLACK, 1);
	for (size_t i = 0; i < load.sides; i++) {
		load.side[i].connections = connections;
		load.side[i].due_ns = calloc(load.count, sizeof(uint64_t));
		load.side[i].latency_ns = calloc(load.count, sizeof(uint64_t));
		connect_all(&load.side[i], poll, words + 5 + 3 * i);
	}
	epoll_ctl(poll, EPOLL_CTL_ADD, timer, &tick);
	load.start_ns = now_ns() + 1000000;
	timerfd_settime(timer, 0, &first, NULL);
	until = due_ns(&load, load.count * load.sides) + 2 * 1000000000ull;
	while (!answered(&load) && now_ns() < until) {
		int found = epoll_wait(poll, events, EVENTS, 1000);
		for (int i = 0; i < found; i++) {
			if (!events[i].data.ptr)
				hand_out(&load, timer);
			else if (!hear(events[i].data.ptr))
				until = 0; /* a connection that ends: what it was asked has failed */
		}
	}
	for (size_t i = 0; i < load.sides; i++)
		report(&load.side[i], skip, load.count - skip);
	return 0;
}

int main(int count, char **words)
{
	int head = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", BODY);
	memset(reply + head, 'x', BODY);
	reply_size = head + BODY;
	if (count > 2 && !strcmp(words[1], "serve"))
		serve(words + 2);
	if (count > 7 && (count - 7) % 3 == 0 && (count - 7) / 3 <= SIDES && !strcmp(words[1], "ask"))
		return ask(count - 2, words + 2);
	fprintf(stderr, "usage: mesh_load serve PORT... | ask CONNECTIONS RATE COUNT SWAP SKIP (PID ADDRESS PORT)...\n");
	return 2;
}
