/* test_manager_limits.c: what a manager lets its clients do: keys that may not do everything, limits, clients
 * that do not listen; and what it says at its end.
 */
#define _GNU_SOURCE
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/pickle.h>

#include "ipc/offenders.h"
#include "support/loopback.h"

#define SOON kin_in_s(20)

static const kin_manager_type types[] = {{.name = "board", .shared = "list"},
                                         {.name = "jobs", .shared = "Queue"}};

static const kin_manager_permission of_reader[] = {{"board", KIN_MAY_READ}, {"number_of_*", KIN_MAY_READ}};
static const kin_manager_permission of_worker[] = {
    {"board", KIN_MAY_NOTHING}, {"job?", KIN_MAY_WRITE}, {"*", KIN_MAY_READ}};
static const kin_manager_credential credentials[] = {
    {.name = "reader", .key = "r", .key_size = 1, .permissions = of_reader, .permission_count = 2},
    {.name = "worker", .key = "w", .key_size = 1, .permissions = of_worker, .permission_count = 3},
    {.name = "other", .key = "o", .key_size = 1}};

static kin_manager *start(kin_manager_options options)
{
    kin_manager *manager = NULL;
    options.types = types;
    options.type_count = 2;
    CHECK_OK(kin_manager_start(&manager, &options));
    return manager;
}

static kin_manager *connect_with(kin_manager *manager, const char *key)
{
    kin_manager *connected = NULL;
    CHECK_OK(kin_manager_connect(&connected, kin_manager_address(manager), key, strlen(key), SOON));
    return connected;
}

static const char *raised(kin_manager *manager)
{
    static char text[512];
    const kin_value *error = kin_manager_error(manager);
    CHECK(error != NULL);
    kin_value_repr(error, text, sizeof text);
    return text;
}

/* ---- keys -------------------------------------------------------------------------------------- */

TEST(a_key_may_do_what_its_permissions_say)
{
    kin_manager *manager = start((kin_manager_options){.credentials = credentials, .credential_count = 3});
    kin_manager *reader = connect_with(manager, "r"), *worker = connect_with(manager, "w");
    kin_proxy *board = NULL, *seen = NULL, *jobs = NULL, *none = NULL;
    CHECK_OK(kin_manager_create(manager, &board, "board", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(board, "append", kin_value_build("(s)", "news"), NULL, SOON));

    CHECK_OK(kin_manager_create(reader, &seen, "board", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(seen, "__getitem__", kin_value_build("(i)", 0), NULL, SOON));
    CHECK_OK(kin_proxy_call(seen, "__str__", kin_value_none(), NULL, SOON));
    CHECK_RC(kin_proxy_call(seen, "append", kin_value_build("(s)", "lies"), NULL, SOON), KIN_EREMOTE);
    CHECK_STR(raised(reader), "PermissionError('the key reader may not append board')");
    CHECK_RC(kin_manager_create(reader, &none, "jobs", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK_RC(kin_manager_create(reader, &none, "list", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK(strstr(raised(reader), "PermissionError: the key reader may not create list") != NULL);
    CHECK_RC(kin_manager_shutdown(reader, SOON), KIN_EREMOTE);

    CHECK_OK(kin_manager_create(worker, &jobs, "jobs", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_put(jobs, kin_value_int(1), SOON));
    CHECK_RC(kin_manager_create(worker, &none, "board", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK_RC(kin_manager_create(worker, &none, "Queue", kin_value_none(), SOON), KIN_EREMOTE);
    /* By its number, neither. */
    kin_value token = kin_proxy_value(board);
    CHECK_RC(kin_manager_proxy(worker, &none, &token, SOON), KIN_EREMOTE);
    kin_value_clear(&token);

    CHECK_OK(kin_proxy_close(jobs));
    CHECK_OK(kin_proxy_close(seen));
    CHECK_OK(kin_proxy_close(board));
    CHECK_OK(kin_manager_close(reader));
    CHECK_OK(kin_manager_close(worker));
    CHECK_OK(kin_manager_close(manager));
}

/* To use a condition is to acquire its lock. */
TEST(a_condition_gives_no_right_to_a_lock)
{
    static const kin_manager_permission may[] = {{"Condition", KIN_MAY_WRITE}, {"Lock", KIN_MAY_READ}};
    static const kin_manager_credential credential = {
        .name = "waiter", .key = "c", .key_size = 1, .permissions = may, .permission_count = 2};
    kin_manager *manager = start((kin_manager_options){.credentials = &credential, .credential_count = 1});
    kin_manager *waiter = connect_with(manager, "c");
    kin_proxy *lock = manager_object(manager, "Lock", SOON), *own = NULL, *none = NULL;
    CHECK_OK(kin_manager_create(waiter, &own, "Condition", kin_value_none(), SOON));
    CHECK_RC(
        kin_manager_create(waiter, &none, "Condition", kin_value_build("(v)", kin_proxy_value(lock)), SOON),
        KIN_EREMOTE);
    CHECK(strstr(raised(waiter), "PermissionError: the key waiter may not acquire Lock") != NULL);
    CHECK_OK(kin_proxy_close(own));
    CHECK_OK(kin_proxy_close(lock));
    CHECK_OK(kin_manager_close(waiter));
    CHECK_OK(kin_manager_close(manager));
}

/* A dict is made of what a list holds by whoever may read the list. */
TEST(a_proxy_gives_no_right_to_what_it_stands_for)
{
    static const kin_manager_permission may[] = {{"dict", KIN_MAY_WRITE}};
    static const kin_manager_credential credential = {
        .name = "maker", .key = "m", .key_size = 1, .permissions = may, .permission_count = 1};
    kin_manager *manager = start((kin_manager_options){.credentials = &credential, .credential_count = 1});
    kin_manager *maker = connect_with(manager, "m");
    kin_proxy *list = NULL, *dict = NULL, *none = NULL;
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_build("([(si)])", "x", 1), SOON));
    CHECK_OK(kin_manager_create(manager, &dict, "dict", kin_value_build("(v)", kin_proxy_value(list)), SOON));
    CHECK_EQ(proxy_number(dict, "__getitem__", kin_value_build("(s)", "x"), SOON), 1);
    CHECK_RC(kin_manager_create(maker, &none, "dict", kin_value_build("(v)", kin_proxy_value(list)), SOON),
             KIN_EREMOTE);
    CHECK(strstr(raised(maker), "PermissionError: the key maker may not read list") != NULL);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(maker));
    CHECK_OK(kin_manager_close(manager));
}

TEST(a_key_without_permissions_may_do_everything)
{
    kin_manager *manager = start((kin_manager_options){.credentials = credentials, .credential_count = 3});
    kin_manager *other = connect_with(manager, "o"), *nobody = NULL;
    kin_proxy *list = NULL;
    CHECK_OK(kin_manager_create(other, &list, "list", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_close(list));
    CHECK_RC(kin_manager_connect(&nobody, kin_manager_address(manager), "x", 1, SOON), KIN_EAUTHENTICATION);
    CHECK_OK(kin_manager_shutdown(other, SOON));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_close(manager));
}

TEST(keys_that_are_none_are_refused)
{
    static const kin_manager_credential empty = {.name = "empty"};
    kin_manager *manager = NULL;
    CHECK_RC(
        kin_manager_start(&manager, &(kin_manager_options){.credentials = &empty, .credential_count = 1}),
        -EINVAL);
    CHECK_RC(kin_manager_serve(&(kin_manager_options){.address = NULL}), -EINVAL);
}

/* ---- limits ---------------------------------------------------------------------------------------- */

/* A tuple of two that are one, and so on: 2 to the power of `levels` ends. */
static kin_value doubled(int levels)
{
    kin_value value = kin_value_none();
    for (int i = 0; i < levels; i++) {
        kin_value pair[2] = {value, kin_value_ref(&value)};
        value = kin_value_tuple(pair, 2);
    }
    return value;
}

TEST(few_bytes_do_not_stand_for_much)
{
    kin_manager *manager = start((kin_manager_options){0});
    kin_proxy *list = manager_object(manager, "list", SOON);
    kin_value text;
    CHECK_RC(kin_proxy_call(list, "append", kin_value_build("(v)", doubled(22)), NULL, SOON), KIN_EREMOTE);
    CHECK(strstr(raised(manager), "UnpicklingError") != NULL);
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", doubled(18)), NULL, SOON));
    CHECK_OK(kin_proxy_call(list, "__repr__", kin_value_none(), &text, SOON));
    kin_value_clear(&text);
    for (int i = 0; i < 20; i++)
        CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", doubled(18)), NULL, SOON));
    CHECK_RC(kin_proxy_call(list, "__repr__", kin_value_none(), &text, SOON), KIN_EREMOTE);
    CHECK(strstr(raised(manager), "too long") != NULL);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}

TEST(a_client_has_so_many_objects)
{
    kin_manager *manager = start((kin_manager_options){.client_objects = 2, .max_objects = 3});
    kin_manager *second = NULL;
    kin_proxy *lists[3] = {NULL}, *more = NULL;
    size_t size;
    const void *key = kin_manager_key(manager, &size);
    for (int i = 0; i < 2; i++)
        CHECK_OK(kin_manager_create(manager, &lists[i], "list", kin_value_none(), SOON));
    CHECK_RC(kin_manager_create(manager, &more, "list", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK(strstr(raised(manager), "MemoryError: this client has as many objects as it may") != NULL);
    CHECK_OK(kin_manager_connect(&second, kin_manager_address(manager), key, size, SOON));
    CHECK_OK(kin_manager_create(second, &lists[2], "list", kin_value_none(), SOON));
    CHECK_RC(kin_manager_create(second, &more, "list", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK(strstr(raised(second), "MemoryError: this manager has as many objects as it may") != NULL);
    CHECK_OK(kin_proxy_close(lists[0]));
    CHECK_OK(kin_manager_create(manager, &more, "list", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_close(more));
    CHECK_OK(kin_proxy_close(lists[1]));
    CHECK_OK(kin_proxy_close(lists[2]));
    CHECK_OK(kin_manager_close(second));
    CHECK_OK(kin_manager_close(manager));
}

/* More than it may ask for in a second is answered in the next. */
TEST(a_client_asks_so_often_in_a_second)
{
    kin_manager *manager = start((kin_manager_options){.client_requests = 20});
    kin_proxy *list = NULL;
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_none(), SOON));
    kin_deadline before = kin_clock();
    for (int i = 0; i < 45; i++) CHECK_OK(kin_proxy_call(list, "__len__", kin_value_none(), NULL, SOON));
    /* In two seconds and their ends at most 40 of these could be answered. */
    CHECK_GE(kin_clock() - before, 1000000000);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}

/* ---- those who know no key ------------------------------------------------------------------------------ */

/* Does the manager pose a challenge to who comes from there?  If so, it is answered by so many bytes. */
static bool is_answered(const char *source, kin_manager *manager, const char *answer, size_t size,
                        const struct linger *linger)
{
    char bytes[200];
    int peer = loopback_connect(source, kin_manager_address(manager));
    bool tries = recv(peer, bytes, sizeof bytes, 0) > 0;
    if (tries) CHECK_EQ(write(peer, answer, size), (ssize_t)size);
    CHECK_OK(setsockopt(peer, SOL_SOCKET, SO_LINGER, linger, sizeof *linger));
    close(peer);
    return tries;
}

static bool is_let_try(const char *source, kin_manager *manager)
{
    static const char wrong[] = "\0\0\0\5wrong";
    return is_answered(source, manager, wrong, sizeof wrong - 1, &(struct linger){0});
}

/* It hangs up in the middle of its answer, which is not wrong so far; in order, or by a reset. */
static bool is_let_begin(const char *source, kin_manager *manager, bool resets)
{
    static const char begun[] = "\0\0\0\24";
    return is_answered(source, manager, begun, sizeof begun - 1, &(struct linger){.l_onoff = resets});
}

TEST(an_address_that_fails_too_often_is_turned_away)
{
    kin_manager *manager = start((kin_manager_options){.address = "tcp://127.0.0.1:0"}), *other = NULL;
    int tries = 0;
    while (is_let_try("127.0.0.2", manager)) CHECK_LE(++tries, 1000);
    CHECK_GE(tries, KIN__FAILURES_DEFAULT);
    CHECK(is_let_try("127.0.0.3", manager));
    /* This machine's programs are not blamed for each other. */
    for (int i = 0; i < 10 * KIN__FAILURES_DEFAULT; i++) CHECK(is_let_try("127.0.0.1", manager));
    size_t size;
    const void *key = kin_manager_key(manager, &size);
    CHECK_OK(kin_manager_connect(&other, kin_manager_address(manager), key, size, SOON));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_close(manager));
}

static void hang_up_too_often(bool resets)
{
    kin_manager *manager = start((kin_manager_options){.address = "tcp://127.0.0.1:0"});
    int tries = 0;
    while (is_let_begin("127.0.0.2", manager, resets)) CHECK_LE(++tries, 1000);
    CHECK_GE(tries, KIN__FAILURES_DEFAULT);
    CHECK(is_let_begin("127.0.0.3", manager, resets));
    CHECK_OK(kin_manager_close(manager));
}

TEST(an_address_that_hangs_up_in_the_handshake_too_often_is_turned_away)
{
    hang_up_too_often(false);
}

TEST(one_whose_connections_are_reset_is_too)
{
    hang_up_too_often(true);
}

/* ---- clients that do not listen ----------------------------------------------------------------------- */

static void send_value(kin_connection *connection, kin_value value)
{
    kin_buffer bytes = {0};
    CHECK_OK(kin_pickle_dumps(&value, &bytes));
    CHECK_OK(kin_connection_send(connection, bytes.data, bytes.size, SOON));
    kin_buffer_free(&bytes);
    kin_value_clear(&value);
}

TEST(a_client_that_does_not_read_its_answers_is_given_up)
{
    static char large[1 << 20];
    kin_manager *manager = start((kin_manager_options){.silence_s = 1});
    kin_connection *connection = NULL;
    kin_client_options options = {0};
    kin_proxy *list = NULL;
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_value_bytes(large, sizeof large)),
                            NULL, SOON));
    kin_value token = kin_proxy_value(list);
    CHECK_OK(kin_client_open(&connection, kin_manager_address(manager), &options, SOON));
    send_value(connection, kin_value_build("(vs(s){})", kin_value_none(), "accept_connection", "silent"));
    for (int i = 0; i < 64; i++)
        send_value(connection, kin_value_build("(ss(){})", kin_value_token_id(&token), "copy"));
    kin_value_clear(&token);
    struct pollfd look = {.fd = kin_connection_fileno(connection), .events = POLLRDHUP};
    CHECK_EQ(poll(&look, 1, 20000), 1);
    /* Others are served meanwhile, and afterwards. */
    CHECK_OK(kin_proxy_call(list, "__len__", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_connection_close(connection));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}

/* ---- requests of every form ---------------------------------------------------------------------------- */

#define X "X\1\0\0\0x"

/* As whatever a request is written, it is understood, or said to be none, and the connection goes on. */
TEST(a_request_may_be_written_in_many_ways)
{
    static const char known[] = "KeyError", shape[] = "TypeError: a request is", broken[] = "UnpicklingError";
    static const struct {
        const char *says, *bytes;
        size_t size;
    } form[] = {
#define FORM(says, bytes) {says, bytes, sizeof bytes - 1}
        FORM(known, "(" X X ")}t."),
        FORM(known, "\x80\3(" X "q\0" X "q\1)}q\2tq\3."),
        FORM(known, "\x80\4(\x8c\1x\x94\x8c\1m\x94)}\x94t\x94."),
        FORM(known, "(Vx\np0\nVm\np1\n(t(dp2\ntp3\n."),
        FORM(known, "(lp0\nVx\np1\naVm\np2\na(lp3\na(dp4\na."),
        FORM(shape, "(" X X ")t."),
        FORM(shape, "(" X X ")}}t."),
        FORM(shape, "(" X X "}}t."),
        FORM(shape, "(t."),
        FORM(shape, "N."),
        FORM(shape, "(" X X ")}t0N."),
        FORM(broken, X "(" X X ")}t."),
        FORM(broken, "((" X X ")}t."),
        FORM(broken, "(" X X ")}t"),
#undef FORM
    };
    kin_manager *manager = start((kin_manager_options){0});
    kin_connection *client = NULL;
    kin_client_options options = {0};
    kin_value answer;
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK_OK(kin_client_open(&client, kin_manager_address(manager), &options, SOON));
    client_ask(client, kin_value_none(), "accept_connection", kin_value_build("(s)", "plain"), SOON);
    client_hear(client, &answer, SOON);
    kin_value_clear(&answer);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        CHECK_OK(kin_connection_send(client, form[i].bytes, form[i].size, SOON));
        client_hear(client, &answer, SOON);
        NOTE("form %zu: %s", i, kin_value_get_str(kin_value_at(&answer, 1), NULL));
        CHECK(strncmp(kin_value_get_str(kin_value_at(&answer, 1), NULL), form[i].says,
                      strlen(form[i].says)) == 0);
        kin_value_clear(&answer);
    }
    CHECK_OK(kin_connection_close(client));
    CHECK_OK(kin_manager_close(manager));
}

/* ---- the end -------------------------------------------------------------------------------------------- */

struct waiting {
    kin_manager *manager;
    kin_proxy *barrier;
};

static void wait_at_barrier(void *of_waiting)
{
    struct waiting *waiting = of_waiting;
    CHECK_RC(kin_proxy_call(waiting->barrier, "wait", kin_value_none(), NULL, KIN_FOREVER), -ECONNRESET);
    CHECK_STR(raised(waiting->manager), "EOFError('the manager is shutting down')");
    CHECK_OK(kin_proxy_close(waiting->barrier));
}

TEST(whoever_waits_is_answered_at_the_end)
{
    struct waiting waiting = {.manager = start((kin_manager_options){0})};
    pid_t children[3];
    kin_value number;
    int64_t count = 0;
    CHECK_OK(
        kin_manager_create(waiting.manager, &waiting.barrier, "Barrier", kin_value_build("(i)", 4), SOON));
    for (int i = 0; i < 3; i++) children[i] = test_child(wait_at_barrier, &waiting);
    while (count < 3) {
        CHECK_OK(kin_proxy_call(waiting.barrier, "__getattribute__", kin_value_build("(s)", "n_waiting"),
                                &number, SOON));
        CHECK_OK(kin_value_get_int(&number, &count));
    }
    CHECK_OK(kin_manager_shutdown(waiting.manager, SOON));
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(children[i]), 0);
    CHECK_OK(kin_proxy_close(waiting.barrier));
    CHECK_OK(kin_manager_close(waiting.manager));
}
