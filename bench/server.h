/* server.h: the cases of the server benchmark, and how a server is driven. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <sys/types.h>

#include "support.h"

struct server_shape {
    bool tcp;
    int clients;
    int window; /* requests in flight, for each client */
    bool one_core;
};

#define SERVER_CLIENTS 64
#define SERVER_CALLS   64

/* What a server is sent again and again, and where. */
struct server_load {
    int sockets[SERVER_CLIENTS];
    const void *request;
    size_t request_size;
    size_t reply_size;
};

/* server_start forks a process that runs `serve` and ends with the run. */
pid_t server_start(void (*serve)(void *argument), void *argument);
/* A listening socket of the case's kind; `address` is what to connect to. */
int server_listen(bool tcp, char address[128]);
int server_connect(const char *address);
/* Sends `count` requests and takes the answers; the seconds it took. */
double server_drive(const struct bench_case *test, const struct server_load *load, long count);

bench_run bench_kin_server __attribute__((weak));
/* The same clients with one request of each in flight, whatever the case says. */
bench_run bench_kin_server_unhurried __attribute__((weak));
/* A client of kin's, whose calls are made together, or one after the other. */
bench_run bench_kin_call_many __attribute__((weak));
bench_run bench_kin_call_each __attribute__((weak));
bench_run bench_python_server __attribute__((weak));

#endif
