/* test_coroutine_names.c: a coroutine that connects has its host's name looked up elsewhere: the others run
 * meanwhile, and it waits no longer than it wants to. */
#define _GNU_SOURCE
#include "support/test.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <kin.h>

/* ---- in place of the system's: a name server that answers when it is told to ------------------------------------- */

static int answers[2];
static atomic_int asked, freed;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in address;
    } *made = calloc(1, sizeof *made);
    char byte;
    CHECK(made != NULL);
    made->address.sin_family = AF_INET;
    made->address.sin_port = htons((uint16_t)atoi(port));
    if (inet_pton(AF_INET, host, &made->address.sin_addr) != 1) {
        if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
            free(made);
            return EAI_NONAME;
        }
        asked++;
        CHECK_EQ(read(answers[0], &byte, 1), 1);
        if (byte == 'n') {
            free(made);
            return EAI_NONAME;
        }
        made->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    made->info.ai_family = AF_INET;
    made->info.ai_addr = (struct sockaddr *)&made->address;
    made->info.ai_addrlen = sizeof made->address;
    *found = &made->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    freed++;
    free(info);
}

/* ---- who connects ------------------------------------------------------------------------------------------------ */

static kin_listener *listener;
static char address[64];
static int expected;
static kin_deadline deadline;

static void begin(void)
{
    CHECK_OK(pipe(answers));
    CHECK_OK(kin_listener_open(&listener, "tcp://127.0.0.1:0", NULL));
    snprintf(address, sizeof address, "tcp://slow.example%s", strrchr(kin_listener_address(listener), ':'));
    asked = freed = 0;
}

static void end(void)
{
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_listener_close(listener));
    close(answers[0]);
    close(answers[1]);
    uv_library_shutdown();
}

static int connect_there(void *unused)
{
    (void)unused;
    kin_connection *connection = NULL;
    CHECK_RC(kin_client_open(&connection, address, NULL, deadline), expected);
    return kin_connection_close(connection);
}

static int answer_later(void *byte)
{
    while (asked == 0) CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    CHECK_EQ(write(answers[1], byte, 1), 1);
    return 0;
}

TEST(others_run_while_a_name_is_looked_up)
{
    kin_connection *connection = NULL;
    begin();
    expected = 0;
    deadline = KIN_FOREVER;
    CHECK_OK(kin_coroutine_start(NULL, connect_there, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, answer_later, (char[]){'y'}, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_listener_accept(listener, &connection, KIN_FOREVER));
    CHECK_OK(kin_connection_close(connection));
    asked = 0;
    expected = KIN_EHOST;
    CHECK_OK(kin_coroutine_start(NULL, connect_there, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, answer_later, (char[]){'n'}, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_EQ(freed, 1);
    end();
}

TEST(who_looks_a_name_up_need_not_wait)
{
    kin_coroutine *cancelled = NULL;
    begin();
    expected = -ETIMEDOUT;
    deadline = kin_in_ms(5);
    CHECK_OK(kin_coroutine_start(NULL, connect_there, NULL, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    expected = -ECANCELED;
    deadline = KIN_FOREVER;
    CHECK_OK(kin_coroutine_start(&cancelled, connect_there, NULL, NULL));
    while (asked < 2) CHECK_EQ(kin_loop_turn(kin_in_ms(1)), 1);
    CHECK_OK(kin_coroutine_cancel(cancelled));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_coroutine_close(cancelled));
    /* What came too late is freed when the loop is closed. */
    CHECK_EQ(write(answers[1], "yy", 2), 2);
    end();
    CHECK_EQ(freed, 2);
}
