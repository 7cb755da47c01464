/* L22: each worker opens its own connection once, by the initializer, and its tasks use it; after three tasks a
 * worker is replaced by a new one, which opens its own.  An initializer that fails fails the opening, with the
 * cause. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct connection {
    int opened_by;
    int requests;
};

static int connect_once(void *server)
{
    if (server == NULL) return -EHOSTUNREACH;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) return -ENOMEM;
    connection->opened_by = getpid();
    kin_worker_set_state(connection);
    return 0;
}

struct answer {
    int worker, request;
};

static int ask(const int *question, struct answer *answer)
{
    (void)question;
    struct connection *connection = kin_worker_state();
    connection->requests++;
    *answer = (struct answer){connection->opened_by, connection->requests};
    return connection->opened_by == getpid() ? 0 : 1;
}
KIN_MAP(ask, int, struct answer)

int main(void)
{
    kin_pool *pool = NULL;
    kin_failure failure;
    char why[200];
    int rc = kin_pool_open(
        &pool, &(kin_pool_options){.workers = 1, .initializer = connect_once, .failure = &failure});
    kin_failure_text(&failure, why, sizeof why);
    printf("%s: %s\n", kin_error_name(rc), kin_error_name(failure.code));

    check(kin_pool_open(
        &pool, &(kin_pool_options){
                   .workers = 1, .initializer = connect_once, .context = "a server", .tasks_per_worker = 3}));
    int last = 0, workers = 0;
    for (int i = 0; i < 7; i++) {
        struct answer answer;
        check(
            (int)kin_pool_apply(pool, KIN_FN(ask), &i, sizeof i, &answer, sizeof answer, KIN_FOREVER, NULL));
        if (answer.worker != last) workers++;
        last = answer.worker;
        printf("worker %d, request %d\n", workers, answer.request);
    }
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
