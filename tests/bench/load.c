/*
 * Load for benchmarks: as many short connections as one core makes, or as many bytes as one connection carries.
 * In C, so that what is measured is the kernel and not an interpreter.
 *
 *   load serve PORT            echo requests of up to 64 bytes, swallow everything larger; until it is ended
 *   load crr ADDRESS PORT N SPREAD
 *                              N times connect, 2 bytes there, 2 back, reset; prints connections per second. They go to
 *                              ADDRESS, ADDRESS+1, ..., SPREAD addresses in turn: as many edges
 *   load turns ADDRESS PORT BLOCK N
 *                              N times: wait for a byte on standard input, make BLOCK connections as above, pass a byte on to
 *                              standard output; prints nanoseconds per connection of each block to standard error
 *   load long ADDRESS PORT RATE S
 *                              S seconds of requests on one connection, one after the other and at most RATE a second; prints
 *                              how many a second there were, and the median and 99th percentile of their times in us
 *   load bulk ADDRESS PORT S   send for S seconds on one connection; prints bytes per second
 *
 * Connections end with a reset by the client so that no port waits in TIME_WAIT: else N is limited by the ports.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The same congestion control everywhere: the default may pace, and then measures its timer. */
static void tune(int s)
{
	int one = 1;
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static void *answer(void *argument)
{
	static __thread char buffer[1 << 18];
	int s = (int)(intptr_t)argument;
	ssize_t got;
	while ((got = read(s, buffer, sizeof buffer)) > 0)
		if (got <= 64 && write(s, buffer, got) != got)
			break;
	close(s);
	return NULL;
}

/* Short connections are answered in the accepting thread: a thread for each would be most of what is measured. */
static void take(int s)
{
	char request[64];
	ssize_t got = read(s, request, sizeof request);
	pthread_t thread;
	if (got != 2) {
		if (got > 0 && got <= (ssize_t)sizeof request - 1 && write(s, request, got) != got)
			die("write");
		if (pthread_create(&thread, NULL, answer, (void *)(intptr_t)s))
			die("pthread_create");
		pthread_detach(thread);
		return;
	}
	while (got > 0 && write(s, request, got) == got)
		got = read(s, request, sizeof request);
	close(s);
}

static _Noreturn void serve(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	tune(listener);
	if (bind(listener, (void *)&any, sizeof any) || listen(listener, 1024))
		die("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int s = accept(listener, NULL, NULL);
		if (s < 0)
			die("accept");
		take(s);
	}
}

static int dial(const char *address, uint16_t port, long further)
{
	uint32_t number = ntohl(inet_addr(address)) + further;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(number)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	tune(s);
	if (connect(s, (void *)&to, sizeof to))
		die("connect");
	return s;
}

static void exchange(const char *address, uint16_t port, long further)
{
	static const struct linger hard = {.l_onoff = 1, .l_linger = 0};
	char two[2] = "hi";
	int s = dial(address, port, further);
	setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	if (write(s, two, 2) != 2 || read(s, two, 2) != 2)
		die("exchange");
	close(s);
}

static int crr(const char *address, uint16_t port, long count, long spread)
{
	double started = now_s();
	for (long i = 0; i < count; i++)
		exchange(address, port, i % spread);
	printf("%.1f\n", count / (now_s() - started));
	return 0;
}

static int turns(const char *address, uint16_t port, long block, long count)
{
	double *took = calloc(count, sizeof *took);
	char token;
	for (long turn = 0; turn < count; turn++) {
		if (read(0, &token, 1) != 1)
			die("wait for a turn");
		double started = now_s();
		for (long i = 0; i < block; i++)
			exchange(address, port, 0);
		took[turn] = now_s() - started;
		if (write(1, &token, 1) != 1)
			die("pass the turn on");
	}
	for (long turn = 0; turn < count; turn++)
		fprintf(stderr, "%.0f\n", took[turn] * 1e9 / block);
	return 0;
}

static int bulk(const char *address, uint16_t port, double seconds)
{
	static char buffer[1 << 18];
	double started = now_s(), elapsed;
	uint64_t sent = 0;
	int s = dial(address, port, 0);
	do {
		ssize_t done = write(s, buffer, sizeof buffer);
		if (done < 0)
			die("write");
		sent += done;
	} while ((elapsed = now_s() - started) < seconds);
	printf("%.0f\n", sent / elapsed);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int one_long(const char *address, uint16_t port, double rate, double seconds)
{
	char request[32] = "request";
	long most = rate * seconds + 1, count = 0;
	double *took_us = malloc(most * sizeof *took_us);
	int s = dial(address, port, 0);
	if (!took_us)
		die("malloc");
	double started = now_s(), began;
	for (; count < most && (began = now_s()) - started < seconds; count++) {
		while (began - started < count / rate)
			began = now_s();
		if (write(s, request, sizeof request) != sizeof request || recv(s, request, sizeof request, MSG_WAITALL) != sizeof request)
			die("exchange");
		took_us[count] = (now_s() - began) * 1e6;
	}
	double elapsed = now_s() - started;
	qsort(took_us, count, sizeof *took_us, by_size);
	printf("%.0f %.2f %.2f\n", count / elapsed, took_us[count / 2], took_us[count * 99 / 100]);
	free(took_us);
	return 0;
}

int main(int count, char **words)
{
	if (count == 3 && !strcmp(words[1], "serve"))
		serve(atoi(words[2]));
	if (count == 6 && !strcmp(words[1], "crr"))
		return crr(words[2], atoi(words[3]), atol(words[4]), atol(words[5]));
	if (count == 6 && !strcmp(words[1], "turns"))
		return turns(words[2], atoi(words[3]), atol(words[4]), atol(words[5]));
	if (count == 6 && !strcmp(words[1], "long"))
		return one_long(words[2], atoi(words[3]), atof(words[4]), atof(words[5]));
	if (count == 5 && !strcmp(words[1], "bulk"))
		return bulk(words[2], atoi(words[3]), atof(words[4]));
	fprintf(stderr, "usage: load serve PORT | load crr ADDRESS PORT COUNT SPREAD | load bulk ADDRESS PORT SECONDS\n"
			"       load turns ADDRESS PORT BLOCK COUNT | load long ADDRESS PORT RATE SECONDS\n");
	return 2;
}
