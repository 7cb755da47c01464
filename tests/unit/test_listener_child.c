/* test_listener_child.c: a child that was given a listener: it waits, accepts and talks with clients itself, and so do
 * its threads. */
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/listener.h>
#include <kin/process.h>
#include <kin/wait.h>

#include "os/network.h"

static void *ask_for_descriptor(void *listener)
{
    return (void *)(intptr_t)kin_listener_fileno(listener);
}

static void serve_client(kin_connection *here)
{
    char byte;
    CHECK_RC(kin_connection_recv(here, &byte, 1, KIN_FOREVER), 1);
    CHECK_RC(kin_connection_send(here, "done", 4, KIN_FOREVER), 0);
}

/* One thread accepts, and makes what others ask for. */
static int serve_with_threads(void *argument)
{
    enum { THREADS = 3 };
    kin_connection *here = NULL;
    pthread_t threads[THREADS];
    void *descriptor;
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, ask_for_descriptor, argument), 0);
    CHECK_OK(kin_listener_accept(argument, &here, KIN_FOREVER));
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], &descriptor), 0);
        CHECK_EQ((int)(intptr_t)descriptor, kin_listener_fileno(argument));
    }
    serve_client(here);
    CHECK_RC(kin_listener_close(argument), 0);
    return 0;
}

static int serve(void *argument)
{
    kin_connection *here = NULL;
    kin_waitable item = kin_on_listener(argument);
    int rc;
    CHECK_OK(kin_listener_fileno(argument));
    do CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
    while ((rc = kin_listener_accept(argument, &here, KIN_NOW)) == -ETIMEDOUT);
    CHECK_RC(rc, 0);
    serve_client(here);
    CHECK_RC(kin_listener_close(argument), 0);
    return 0;
}

static void served_by(int (*serves)(void *))
{
    kin_process *child = NULL;
    kin_connection *there = NULL;
    char text[10];
    int code = -1;
    kin_listener *listener = NULL;
    CHECK_OK(
        kin_listener_open(&listener, "unix:socket", &(kin_listener_options){.key = "key", .key_size = 3}));
    int silent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct kin__address address;
    CHECK_RC(kin__os_address_unix("socket", 6, false, &address), 0);
    CHECK_EQ(connect(silent, (struct sockaddr *)address.bytes, address.size), 0);
    CHECK_RC(kin_listener_accept(listener, &there, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_process_start(&child, serves, listener, NULL));
    CHECK_OK(kin_client_open(&there, "unix:socket", &(kin_client_options){.key = "key", .key_size = 3},
                             KIN_FOREVER));
    CHECK_RC(kin_connection_send(there, "x", 1, KIN_FOREVER), 0);
    CHECK_RC(kin_connection_recv(there, text, sizeof text, KIN_FOREVER), 4);
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(child, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(child));
    CHECK_OK(kin_connection_close(there));
    /* The child closed its copy; the file is still ours. */
    CHECK_EQ(access("socket", F_OK), 0);
    close(silent);
    CHECK_OK(kin_listener_close(listener));
}

TEST(a_child_can_serve)
{
    served_by(serve);
    served_by(serve_with_threads);
}
