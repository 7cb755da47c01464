/* test_kill_pipe.c: a sender or a receiver of a pipe is killed at every instruction, with small
 * messages and with large ones, and at random in a crowd.  The others go on; a message that its
 * sender could not finish is told as such, and the next can be received. */
#include "crash.h"

#include <errno.h>
#include <unistd.h>

#include "support/chaos.h"
#include "support/stepkill.h"

#define LARGE 300000

struct scene {
    kin_connection *in;
    kin_connection *out;
    size_t size; /* of the victim's message */
    pid_t other;
    bool got; /* the victim's message was received while it lived */
};

static char victims_message[LARGE];
static char received[LARGE];

static void scene_open(struct scene *scene, size_t size)
{
    memset(scene, 0, sizeof *scene);
    CHECK_OK(kin_pipe_open(&scene->in, &scene->out, NULL));
    scene->size = size;
    memset(victims_message, 'V', sizeof victims_message);
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_connection_close(scene->in));
    CHECK_OK(kin_connection_close(scene->out));
}

/* ---- a sender ------------------------------------------------------------------------------------- */

static void send_v(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_connection_send(scene->out, victims_message, scene->size, KIN_FOREVER));
}

/* The sender of a large message waits for somebody who takes it. */
static void take_some(void *context)
{
    struct scene *scene = context;
    long size = kin_connection_recv(scene->in, received, sizeof received, KIN_NOW);
    scene->got = size == (long)scene->size;
    CHECK(scene->got || size == -ETIMEDOUT);
}

static void survive_send(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    CHECK_OK(kin_connection_send(scene->out, "B", 1, kin_in_s(60)));
    long size = kin_connection_recv(scene->in, received, sizeof received, kin_in_s(60));
    if (scene->got) {
        scene->got = false;
    } else if (size != 1) {
        CHECK(size == (long)scene->size || (size == KIN_ETRUNCATED && !finished));
        for (long i = 0; i < size; i++) CHECK_EQ(received[i], 'V');
        size = kin_connection_recv(scene->in, received, sizeof received, kin_in_s(60));
    } else {
        CHECK(!finished);
    }
    CHECK_EQ(size, 1);
    CHECK_EQ(received[0], 'B');
    CHECK_RC(kin_connection_recv(scene->in, received, sizeof received, KIN_NOW), -ETIMEDOUT);
}

TEST(sending_a_small_message, .deadline = 240)
{
    struct scene scene;
    scene_open(&scene, 40);
    struct stepkill_report report =
        stepkill(&(struct stepkill){.operation = send_v, .survive = survive_send, .context = &scene});
    CHECK_GT(report.points, 50);
    scene_close(&scene);
}

TEST(sending_a_large_message, .deadline = 240)
{
    struct scene scene;
    scene_open(&scene, LARGE);
    struct stepkill_report report = stepkill(&(struct stepkill){.operation = send_v,
                                                                .survive = survive_send,
                                                                .wake = take_some,
                                                                .mode = STEPKILL_ADDRESSES,
                                                                .context = &scene});
    CHECK_GT(report.points, 50);
    scene_close(&scene);
}

/* ---- a receiver ----------------------------------------------------------------------------------- */

static void receive_one(void *context)
{
    struct scene *scene = context;
    CHECK_EQ(kin_connection_recv(scene->in, received, sizeof received, KIN_FOREVER), (long)scene->size);
}

static void send_v_and_b(void *context)
{
    struct scene *scene = context;
    send_v(context);
    CHECK_OK(kin_connection_send(scene->out, "B", 1, KIN_FOREVER));
}

/* The victim got the first message, or the survivor gets it; the second is there. */
static void survive_receive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    long size = kin_connection_recv(scene->in, received, sizeof received, kin_in_s(60));
    if (size != 1) {
        CHECK(!finished);
        CHECK_EQ(size, (long)scene->size);
        for (long i = 0; i < size; i++) CHECK_EQ(received[i], 'V');
        size = kin_connection_recv(scene->in, received, sizeof received, kin_in_s(60));
    }
    CHECK_EQ(size, 1);
    CHECK_EQ(received[0], 'B');
}

TEST(receiving_a_small_message, .deadline = 240)
{
    struct scene scene;
    scene_open(&scene, 40);
    struct stepkill_report report = stepkill(&(struct stepkill){
        .setup = send_v_and_b, .operation = receive_one, .survive = survive_receive, .context = &scene});
    CHECK_GT(report.points, 50);
    scene_close(&scene);
}

static void other_sends(void *context)
{
    struct scene *scene = context;
    scene->other = fork();
    if (scene->other == 0) {
        send_v_and_b(scene);
        _exit(0);
    }
    CHECK_RC(kin_connection_poll(scene->in, KIN_FOREVER), 1);
}

static void collect_other(void *context)
{
    CHECK_EQ(test_collect(((struct scene *)context)->other), 0);
}

/* Whoever sends it sends it again when its receiver dies. */
TEST(receiving_a_large_message, .deadline = 240)
{
    struct scene scene;
    scene_open(&scene, LARGE);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = other_sends,
                                                                .operation = receive_one,
                                                                .survive = survive_receive,
                                                                .teardown = collect_other,
                                                                .mode = STEPKILL_SYSCALLS,
                                                                .context = &scene});
    CHECK_GT(report.points, 5);
    scene_close(&scene);
}

/* ---- a crowd --------------------------------------------------------------------------------------- */

struct crowd {
    kin_connection *in;
    kin_connection *out;
    struct ledger *ledger;
};

struct numbered {
    uint64_t sender;
    uint64_t number;
    uint64_t check; /* again at the end of the message */
};

static size_t numbered_size(uint64_t number)
{
    return number % 16 == 0 ? LARGE : sizeof(struct numbered) + number % 32 * 64;
}

static void crowd_send(void *context, unsigned index)
{
    struct crowd *crowd = context;
    static char message[LARGE];
    while (!chaos_stopping()) {
        struct numbered numbered = {index, ledger_issue(crowd->ledger, index), 0};
        size_t size = numbered_size(numbered.number);
        numbered.check = numbered.number * 31 + index;
        memcpy(message, &numbered, sizeof numbered);
        memcpy(message + size - sizeof numbered.check, &numbered.check, sizeof numbered.check);
        int rc;
        while ((rc = kin_connection_send(crowd->out, message, size, kin_in_ms(50))) == -ETIMEDOUT)
            if (chaos_stopping()) return;
        CHECK_RC(rc, 0);
        ledger_acknowledge(crowd->ledger, index, numbered.number);
        chaos_progress();
    }
}

static void see(struct crowd *crowd, long size)
{
    struct numbered numbered;
    uint64_t last;
    memcpy(&numbered, received, sizeof numbered);
    memcpy(&last, received + size - sizeof last, sizeof last);
    CHECK_EQ(size, (long)numbered_size(numbered.number));
    CHECK_EQ(last, numbered.number * 31 + numbered.sender);
    CHECK_EQ(numbered.check, last);
    ledger_see(crowd->ledger, (unsigned)numbered.sender, numbered.number, false);
}

static void crowd_receive(void *context, unsigned index)
{
    struct crowd *crowd = context;
    (void)index;
    while (!chaos_stopping()) {
        long size = kin_connection_recv(crowd->in, received, sizeof received, kin_in_ms(50));
        if (size == -ETIMEDOUT || size == KIN_ETRUNCATED) continue;
        CHECK_GT(size, 0);
        see(crowd, size);
        chaos_progress();
    }
}

TEST(in_a_crowd, .deadline = 120)
{
    struct crowd crowd = {.ledger = ledger_open(3, 4000000)};
    CHECK_OK(kin_pipe_open(&crowd.in, &crowd.out, NULL));
    struct chaos_report report =
        chaos(&(struct chaos){.roles = {{"sender", 3, crowd_send}, {"receiver", 2, crowd_receive}},
                              .context = &crowd,
                              .kills = 2000,
                              .seconds = 3,
                              .delay_us = 1000});
    CHECK_GT(report.kills, 100);
    long size;
    while ((size = kin_connection_recv(crowd.in, received, sizeof received, kin_in_ms(1))) != -ETIMEDOUT)
        if (size != KIN_ETRUNCATED) see(&crowd, size);
    struct ledger_account account = ledger_account(crowd.ledger);
    NOTE("%ld kills, %lu messages, %lu lost with their receivers", report.kills,
         (unsigned long)account.acknowledged, (unsigned long)account.lost);
    /* Each receiver dies with one at most that it had got, and one it had kept at a deadline. */
    CHECK_LE(account.lost, (uint64_t)report.killed[1] * 2);
    CHECK_EQ(account.duplicated, 0);
    CHECK_EQ(account.corrupt, 0);
    CHECK_OK(kin_connection_close(crowd.in));
    CHECK_OK(kin_connection_close(crowd.out));
}
