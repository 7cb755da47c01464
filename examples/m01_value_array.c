/* M01: an array of four ints and a number, shared with a child that fills in the squares and their
 * sum: the child and the parent print the same.  The number comes with an initial value and without. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

struct shared {
    kin_array *squares;
    kin_cell *sum, *rounds;
};

static int print(const char *who, const struct shared *shared)
{
    int square[4], sum, rounds;
    check(kin_array_read(shared->squares, 0, 4, square, KIN_FOREVER));
    check(kin_cell_get(shared->sum, &sum));
    check(kin_cell_get(shared->rounds, &rounds));
    printf("%s: squares %d %d %d %d, their sum %d, round %d\n", who, square[0], square[1], square[2],
           square[3], sum, rounds);
    return 0;
}

static int fill(void *argument)
{
    const struct shared *shared = argument;
    for (int i = 0; i < 4; i++) {
        check(kin_array_set(shared->squares, (size_t)i, i * i));
        check(kin_cell_add(shared->sum, i * i));
    }
    check(kin_cell_add(shared->rounds, 1));
    return print("child", shared);
}

int main(void)
{
    struct shared shared;
    kin_process *child = NULL;
    check(kin_array_open(&shared.squares, 'i', 4, NULL));
    check(kin_cell_open(&shared.sum, 'i', NULL));
    check(kin_cell_open(&shared.rounds, 'i', &(kin_array_options){.initial = &(int){6}}));
    print("parent", &shared);

    check(kin_process_start(&child, fill, &shared, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    print("parent", &shared);

    int rc = kin_array_set(shared.squares, 4, 16);
    printf("the fifth of four: %s\n", kin_strerror(rc));
    check(kin_array_close(shared.squares));
    check(kin_cell_close(shared.sum));
    check(kin_cell_close(shared.rounds));
    return EXIT_SUCCESS;
}
