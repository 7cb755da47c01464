/* coroutine.c: switching between two stacks, what one that sleeps takes, and one thread that echoes for many
 * connections.
 *
 * The limit of the switch is a function that swaps the registers a call preserves and nothing
 * else; that of the echo is a loop over epoll. */
#include "coroutine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_SIZE 65536

/* ---- the switch: the limit ----------------------------------------------------------------------- */

#if defined(__x86_64__)

__asm__(".text\n"
        "swap_registers:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    popq %rcx\n    jmpq *%rcx\n");
void swap_registers(void **save, void *to);

static void *raw_main, *raw_other;

static void raw_entry(void)
{
    for (;;) swap_registers(&raw_other, raw_main);
}

static double raw_switch(const struct bench_case *test, long count)
{
    (void)test;
    static char stack[STACK_SIZE] __attribute__((aligned(16)));
    void **top = (void **)(stack + STACK_SIZE - 16);
    top[-1] = (void *)(uintptr_t)raw_entry;
    raw_other = top - 7;
    double begin = bench_now();
    for (long i = 0; i < count; i += 2) swap_registers(&raw_main, raw_other);
    return bench_now() - begin;
}

#else
#define raw_switch NULL
#endif

/* ---- the switch: peers ---------------------------------------------------------------------------- */

static ucontext_t libc_main, libc_other;

static void libc_entry(void)
{
    for (;;) swapcontext(&libc_other, &libc_main);
}

static double libc_switch(const struct bench_case *test, long count)
{
    (void)test;
    static char stack[STACK_SIZE];
    getcontext(&libc_other);
    libc_other.uc_stack.ss_sp = stack;
    libc_other.uc_stack.ss_size = sizeof stack;
    makecontext(&libc_other, libc_entry, 0);
    double begin = bench_now();
    for (long i = 0; i < count; i += 2) swapcontext(&libc_main, &libc_other);
    return bench_now() - begin;
}

static double greenlet_switch(const struct bench_case *test, long count)
{
    (void)test;
    static const char program[] = "import sys, time\n"
                                  "try: import greenlet\n"
                                  "except ImportError: sys.exit(3)\n"
                                  "main = greenlet.getcurrent()\n"
                                  "def other():\n"
                                  "    while True: main.switch()\n"
                                  "there = greenlet.greenlet(other)\n"
                                  "there.switch()\n"
                                  "begin = time.monotonic()\n"
                                  "for i in range(int(sys.argv[1]) // 2): there.switch()\n"
                                  "print(time.monotonic() - begin)\n";
    char number[32];
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"/usr/bin/python3", "-c", program, number, NULL});
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static double greenlet_memory(const struct bench_case *test, long count)
{
    (void)test;
    static const char program[] = "import os, sys\n"
                                  "try: import greenlet\n"
                                  "except ImportError: sys.exit(3)\n"
                                  "main = greenlet.getcurrent()\n"
                                  "def resident():\n"
                                  "    pages = open('/proc/self/statm').read().split()[1]\n"
                                  "    return int(pages) * os.sysconf('SC_PAGESIZE')\n"
                                  "before = resident()\n"
                                  "kept = [greenlet.greenlet(main.switch) for _ in range(int(sys.argv[1]))]\n"
                                  "for one in kept: one.switch()\n"
                                  "print(resident() - before)\n"
                                  "sys.stdout.flush()\n"
                                  "os._exit(0)\n";
    char number[32];
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"/usr/bin/python3", "-c", program, number, NULL});
}

/* ---- the echo: clients ----------------------------------------------------------------------------- */

static int listen_on(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (listener < 0 || bind(listener, (struct sockaddr *)address, size) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)address, &size) < 0)
        return -1;
    return listener;
}

static int connect_all(int epoll, const struct sockaddr_in *address, int connections)
{
    for (int i = 0; i < connections; i++) {
        int one = 1, connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection < 0 || connect(connection, (const struct sockaddr *)address, sizeof *address) < 0)
            return -errno;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
        epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event);
        char message[ECHO_SIZE] = "hello";
        if (write(connection, message, sizeof message) != sizeof message) return -errno;
    }
    return 0;
}

/* Sends each answer on, until `count` have come. */
static int ask(int epoll, long count)
{
    struct epoll_event events[256];
    char message[ECHO_SIZE];
    for (long answers = 0; answers < count;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            ssize_t length = read(events[i].data.fd, message, sizeof message);
            if (length <= 0 || write(events[i].data.fd, message, (size_t)length) != length) return -EIO;
            answers++;
        }
    }
    return 0;
}

double echo_measure(const struct bench_case *test, long count, int (*serve)(int listener, int connections))
{
    const struct echo_shape *shape = test->shape;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if ((long)limit.rlim_cur < shape->connections + 50)
        return bench_unable("too few descriptors are allowed");
    struct sockaddr_in address;
    int status = 0, listener = listen_on(&address), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || epoll < 0) return bench_fail("cannot listen: %s", strerror(errno));
    pid_t server = fork();
    if (server == 0) {
        close(epoll);
        _exit(serve(listener, shape->connections));
    }
    close(listener);
    int rc = connect_all(epoll, &address, shape->connections);
    double begin = bench_now();
    if (rc == 0) rc = ask(epoll, count);
    double took = bench_now() - begin;
    /* The connections end here, and with them the server. */
    for (int i = 3; i < (int)limit.rlim_cur && i < shape->connections + 100; i++) close(i);
    waitpid(server, &status, 0);
    if (rc < 0) return bench_fail("a client: %s", strerror(-rc));
    return status == 0 ? took : bench_fail("the server ended with status %#x", status);
}

/* ---- the echo: the limit ----------------------------------------------------------------------------- */

static int epoll_serve(int listener, int connections)
{
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.fd = listener};
    char message[ECHO_SIZE];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    while (connections > 0) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t length = read(descriptor, message, sizeof message);
            if (length > 0 && write(descriptor, message, (size_t)length) == length) continue;
            close(descriptor);
            connections--;
        }
    }
    return 0;
}

static double epoll_echo(const struct bench_case *test, long count)
{
    return echo_measure(test, count, epoll_serve);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define SWITCH_CONTENDERS(run) \
    (const struct bench_contender[]) \
    { \
        {BENCH_LIMIT, "register swap", raw_switch, "x86-64"}, {BENCH_PEER, "ucontext", libc_switch, "libc"}, \
            {BENCH_PEER, "greenlet", greenlet_switch, "python3-greenlet"}, \
            {BENCH_KIN, "kin", run, "libkin"}, \
        { \
            BENCH_KIN, NULL, NULL, NULL \
        } \
    }

static const struct bench_contender echoes[] = {{BENCH_LIMIT, "epoll", epoll_echo, "libc"},
                                                {BENCH_PEER, "libuv", peer_libuv_echo, "libuv1-dev"},
                                                {BENCH_PEER, "uv_poll", peer_libuv_poll, "libuv1-dev"},
                                                {BENCH_KIN, "kin", bench_kin_echo, "libkin"},
                                                {BENCH_KIN, NULL, NULL, NULL}};

static const struct bench_contender sleepers[] = {
    {BENCH_PEER, "greenlet", greenlet_memory, "python3-greenlet"},
    {BENCH_KIN, "kin", bench_kin_memory, "libkin"},
    {BENCH_KIN, NULL, NULL, NULL}};

static const struct bench_target switch_targets[] = {{"register swap", 0.83}, {"ucontext", 5}, {NULL, 0}};
static const struct bench_target sleeper_targets[] = {{NULL, 8192}, {NULL, 0}};
static const struct bench_target echo_targets[] = {{"libuv", 0.9}, {NULL, 0}};

int main(int argc, char **argv)
{
    const struct bench_case cases[] = {
        {.name = "switch of contexts",
         .what = "switches",
         .contenders = SWITCH_CONTENDERS(bench_kin_switch),
         .targets = switch_targets,
         .first_count = 100000},
        {.name = "generator, next and yield",
         .what = "switches",
         .contenders = SWITCH_CONTENDERS(bench_kin_generator),
         .first_count = 100000},
        {.name = "coroutines that yield",
         .what = "switches",
         .contenders = SWITCH_CONTENDERS(bench_kin_yield),
         .first_count = 100000},
        {.name = "100,000 sleep, each takes",
         .what = "coroutines",
         .unit = BENCH_BYTES,
         .contenders = sleepers,
         .targets = sleeper_targets,
         .fixed_count = 100000},
        {.name = "echo, 100 connections",
         .what = "messages",
         .contenders = echoes,
         .targets = echo_targets,
         .shape = &(struct echo_shape){100}},
        {.name = "echo, 10000 connections",
         .what = "messages",
         .contenders = echoes,
         .targets = echo_targets,
         .shape = &(struct echo_shape){10000},
         .first_count = 50000},
    };
    return bench_main(argc, argv, "coroutine", cases, sizeof cases / sizeof *cases);
}
