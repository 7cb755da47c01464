/* test_start_many.c: many children at once, children of children, and one that closes what it writes to, by each of
 * the methods. */
#define _GNU_SOURCE
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "support/start.h"

START_TEST(many_live_at_once)
{
    kin_process *processes[100];
    int count = method == KIN_SPAWN || test_sanitized() ? 10 : 100;
    for (int i = 0; i < count; i++) processes[i] = start(method, return_number, (void *)(intptr_t)(i % 7));
    for (int i = 0; i < count; i++) CHECK_EQ(finish(processes[i]), i % 7);
    for (int i = 0; i < count; i++) processes[i] = start(method, run_for_ever, NULL);
    for (int i = 0; i < count; i++) CHECK_OK(kin_process_terminate(processes[i]));
    for (int i = 0; i < count; i++) CHECK_EQ(finish(processes[i]), -SIGTERM);
}

static int close_outputs(void *unused)
{
    (void)unused;
    printf("nobody reads this");
    close(1);
    fclose(stderr);
    return 3;
}

START_TEST(a_child_may_close_its_outputs)
{
    CHECK_EQ(finish(start(method, close_outputs, NULL)), 3);
}

struct family_tree {
    kin_queue *queue;
    enum kin_start_method method;
};

static void plant(const struct family_tree *tree, unsigned number);

static int grow(void *text)
{
    struct family_tree tree;
    unsigned number, method;
    if (sscanf(text, "%p %u %u", (void **)&tree.queue, &method, &number) != 3) return 1;
    tree.method = (enum kin_start_method)method;
    CHECK_OK(kin_queue_put(tree.queue, &number, sizeof number, KIN_FOREVER));
    if (number < 4) plant(&tree, 2 * number);
    if (number < 4) plant(&tree, 2 * number + 1);
    return 0;
}

static void plant(const struct family_tree *tree, unsigned number)
{
    char text[80];
    int size = snprintf(text, sizeof text, "%p %u %u", (void *)tree->queue, (unsigned)tree->method, number);
    kin_process_options options = {.bytes = text, .size = (size_t)size + 1};
    CHECK_EQ(finish(start_with(tree->method, grow, NULL, options)), 0);
}

START_TEST(children_have_children)
{
    static const unsigned order[] = {1, 2, 4, 5, 3, 6, 7};
    struct family_tree tree = {.method = method};
    CHECK_OK(kin_queue_open(&tree.queue, NULL));
    plant(&tree, 1);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        unsigned number = 0;
        CHECK_EQ(kin_queue_get(tree.queue, &number, sizeof number, KIN_NOW), (long)sizeof number);
        CHECK_EQ(number, order[i]);
    }
    CHECK_RC((int)kin_queue_get(tree.queue, NULL, 0, KIN_NOW), KIN_EMPTY);
    CHECK_OK(kin_queue_close(tree.queue));
}
