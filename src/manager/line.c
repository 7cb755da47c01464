/* line.c: see line.h. */
#include "manager/line.h"

#include "manager/manager.h"
#include "os/os.h"

void kin__line_init(struct kin__line *line, kin_manager *manager)
{
    line->breaker.whole = line->alone.whole = &manager->closed;
    line->client.gifts = &manager->gifts;
}

void kin__line_leave(struct kin__line *line, kin_deadline deadline)
{
    if (line->pid == kin__os_pid())
        kin__client_end(&line->client, deadline);
    else
        kin__client_close(&line->client);
}

void kin__line_close(struct kin__line *line, kin_deadline deadline)
{
    kin__breaker_break(&line->alone, NULL);
    if (kin__turn_take(&line->turn, KIN_NOW) < 0) {
        kin__breaker_break(&line->breaker, NULL);
        return;
    }
    bool own = line->pid == kin__os_pid();
    struct kin__client client = kin__client_take(&line->client);
    kin__turn_end(&line->turn);
    if (own)
        kin__client_end(&client, deadline);
    else
        kin__client_close(&client);
}

void kin__line_turn_end(const kin_manager *manager, struct kin__line *line)
{
    kin__turn_end(&line->turn);
    /* Whoever has closed it meanwhile may have found the turn taken. */
    if (atomic_load(&manager->closed)) kin__line_close(line, kin_in_ms(KIN__LEAVE_MS));
}

void kin__line_end(void *own)
{
    struct kin__line *line = own;
    kin__turn_wait(&line->turn);
    kin__line_leave(line, kin_in_ms(KIN__LEAVE_MS));
    kin__turn_end(&line->turn);
    atomic_store_explicit(&line->used, false, memory_order_release);
}

static struct kin__line *unused_line(kin_manager *manager)
{
    struct kin__line *line = atomic_load_explicit(&manager->lines, memory_order_acquire);
    for (; line != NULL; line = line->next) {
        bool used = false;
        /* Acquire: pairs with the release of the thread that had it. */
        if (atomic_compare_exchange_strong_explicit(&line->used, &used, true, memory_order_acquire,
                                                    memory_order_relaxed))
            return line;
    }
    line = kin__os_calloc(1, sizeof *line);
    if (line == NULL) return NULL;
    kin__line_init(line, manager);
    atomic_init(&line->used, true);
    line->next = atomic_load_explicit(&manager->lines, memory_order_relaxed);
    /* Whoever finds it finds it whole; and it is found by who closes the manager, or finds it closed. */
    while (!atomic_compare_exchange_weak(&manager->lines, &line->next, line)) {
    }
    return line;
}

void kin__line_own(struct kin__line *line)
{
    int self = kin__os_pid();
    if (line->pid == self) return;
    kin__client_close(&line->client);
    line->pid = self;
}

struct kin__line *kin__line_find(kin_manager *manager)
{
    struct kin__line *line = kin_local_get(manager->line);
    if (line == NULL) {
        line = unused_line(manager);
        if (line == NULL) return NULL;
        if (kin_local_set(manager->line, line) < 0) {
            kin__line_end(line);
            return NULL;
        }
    }
    if (line->pid != kin__os_pid()) {
        kin__turn_wait(&line->turn);
        kin__line_own(line);
        kin__line_turn_end(manager, line);
    }
    return line;
}

int kin__line_connect(kin_manager *manager, struct kin__line *line, kin_deadline deadline)
{
    struct kin__client *client = &line->client;
    /* Where an answer is owed the next call connects again, as the client that it was. */
    if (client->connection != NULL || client->owed) return 0;
    client->breaker = &line->breaker;
    int rc = kin__client_connect(client, manager->address, &manager->options, deadline);
    if (rc == 0) rc = kin__client_accept(client, deadline);
    if (rc == 0) {
        atomic_store_explicit(&manager->kin, client->kin, memory_order_relaxed);
        atomic_store_explicit(&manager->grace_ns, client->grace_ns, memory_order_relaxed);
    }
    return rc;
}
