/* test_kill_connection.c: a client, or a listener, is killed before and after each system call of connecting, proving
 * that it knows the key, sending and receiving, with TLS and without.  The other side finds a connection that ends,
 * or a whole message, and serves or finds the next peer. */
#include "crash.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/stepkill.h"

#define KEY .key = "correct horse battery", .key_size = 21

static char message[20000];

struct scene {
    kin_listener *listener;
    const char *address;
    pid_t client;
    kin_connection *here; /* with the victim */
};

static void scene_open(struct scene *scene, const char *address)
{
    memset(message, 'V', sizeof message);
    memset(scene, 0, sizeof *scene);
    CHECK_OK(
        kin_listener_open(&scene->listener, address, &(kin_listener_options){KEY, .handshake_ms = 60000}));
    scene->address = kin_listener_address(scene->listener);
}

/* One exchange as a client; an error when the other side was killed in its middle. */
static int ask(const char *address)
{
    char got[sizeof message];
    kin_connection *there = NULL;
    int rc = kin_client_open(&there, address, &(kin_client_options){KEY}, kin_in_s(10));
    if (rc < 0) return rc;
    rc = kin_connection_send(there, message, sizeof message, kin_in_s(10));
    long size = rc < 0 ? rc : kin_connection_recv(there, got, sizeof got, kin_in_s(10));
    if (size >= 0) CHECK_EQ(size, (long)sizeof message);
    kin_connection_close(there);
    return size < 0 ? (int)size : 0;
}

/* One exchange with whoever comes: the same. */
static int answer(kin_listener *listener, kin_deadline deadline)
{
    char got[sizeof message];
    kin_connection *here = NULL;
    int rc = kin_listener_accept(listener, &here, deadline);
    if (rc < 0) return rc;
    long size = kin_connection_recv(here, got, sizeof got, kin_in_s(10));
    if (size >= 0) CHECK_EQ(size, (long)sizeof message);
    for (long i = 0; i < size; i++) CHECK_EQ(got[i], 'V');
    rc = size < 0 ? (int)size : kin_connection_send(here, got, (size_t)size, kin_in_s(10));
    kin_connection_close(here);
    return rc;
}

/* What the death of the other side looks like; no deadline ever has to come for that. */
static void check_end(int rc)
{
    if (rc != KIN_ECLOSED && rc != KIN_ETRUNCATED && rc != -ECONNRESET && rc != -EPIPE) CHECK_RC(rc, 0);
}

static void start_client(struct scene *scene)
{
    scene->client = fork();
    CHECK_OK(scene->client);
    if (scene->client > 0) return;
    int rc;
    while ((rc = ask(scene->address)) < 0) check_end(rc);
    _exit(0);
}

/* Serves until that client has been served. */
static void serve_client(struct scene *scene)
{
    int status;
    while (waitpid(scene->client, &status, WNOHANG) == 0) {
        int rc = answer(scene->listener, kin_in_ms(5));
        if (rc != -ETIMEDOUT) check_end(rc);
    }
    CHECK_EQ(status, 0);
}

/* ---- the client ----------------------------------------------------------------------------------------- */

static void be_client(void *context)
{
    struct scene *scene = context;
    CHECK_OK(ask(scene->address));
}

/* It waits for us; nothing here may wait for it, since it is stopped at each system call. */
static void go_on(void *context)
{
    struct scene *scene = context;
    char got[sizeof message];
    if (scene->here == NULL) {
        int rc = kin_listener_accept(scene->listener, &scene->here, KIN_NOW);
        if (rc != 0) CHECK_RC(rc, -ETIMEDOUT);
        return;
    }
    long size = kin_connection_recv(scene->here, got, sizeof got, KIN_NOW);
    if (size == -ETIMEDOUT) return;
    CHECK_EQ(size, (long)sizeof message);
    CHECK_OK(kin_connection_send(scene->here, got, sizeof got, KIN_NOW));
}

static void survive_client(void *context, long step, bool finished)
{
    struct scene *scene = context;
    char got[sizeof message];
    (void)step;
    if (scene->here != NULL) {
        long size = kin_connection_recv(scene->here, got, sizeof got, kin_in_s(10));
        if (size >= 0) CHECK_EQ(size, (long)sizeof message);
        if (size < 0) check_end((int)size);
        if (finished) CHECK_RC(size, KIN_ECLOSED);
    }
    CHECK_OK(kin_connection_close(scene->here));
    scene->here = NULL;
    start_client(scene);
    serve_client(scene);
}

static void kill_clients(const char *address)
{
    struct scene scene;
    scene_open(&scene, address);
    survive_client(&scene, 0, true); /* what is loaded once is loaded here */
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_SYSCALLS,
                                                                .operation = be_client,
                                                                .wake = go_on,
                                                                .survive = survive_client,
                                                                .context = &scene,
                                                                .asleep_ms = 10});
    CHECK_GT(report.points, 20);
    CHECK_OK(kin_listener_close(scene.listener));
}

TEST(a_client_that_authenticates, .deadline = 240)
{
    kill_clients("tcp://127.0.0.1:0");
}

TEST(a_client_over_tls, .deadline = 240)
{
    kill_clients("tls://127.0.0.1:0");
}

/* ---- the listener --------------------------------------------------------------------------------------- */

static void be_listener(void *context)
{
    struct scene *scene = context;
    CHECK_OK(answer(scene->listener, KIN_FOREVER));
}

static void come(void *context)
{
    start_client(context);
}

static void survive_listener(void *context, long step, bool finished)
{
    (void)step;
    (void)finished;
    serve_client(context);
}

static void kill_listeners(const char *address)
{
    struct scene scene;
    scene_open(&scene, address);
    survive_client(&scene, 0, true);
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_SYSCALLS,
                                                                .setup = come,
                                                                .operation = be_listener,
                                                                .survive = survive_listener,
                                                                .context = &scene});
    CHECK_GT(report.points, 20);
    CHECK_OK(kin_listener_close(scene.listener));
}

TEST(a_listener_that_authenticates, .deadline = 240)
{
    kill_listeners("tcp://127.0.0.1:0");
}

TEST(a_listener_over_tls, .deadline = 240)
{
    kill_listeners("tls://127.0.0.1:0");
}
