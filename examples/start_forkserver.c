/* Children by KIN_FORKSERVER, which is made this program's method: they are forked by a small helper that
 * has prepared what all of them need, at a cost that has nothing to do with how large this program is.
 * The function is asked for by its name, and its argument is a value. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static double squares[100];

/* Runs in the helper alone, once. */
static void prepare(void)
{
    for (int i = 0; i < 100; i++) squares[i] = (double)i * i;
}

static int look_up(void *argument)
{
    const kin_value *pair = argument;
    int64_t number;
    check(kin_value_get_int(kin_value_at(pair, 1), &number));
    printf("%s %d is %.0f\n", kin_value_get_str(kin_value_at(pair, 0), NULL), (int)number, squares[number]);
    return 0;
}
KIN_TARGET(look_up)

int main(int argc, char **argv)
{
    kin_main(&argc, &argv);
    check(kin_set_start_method(KIN_FORKSERVER));
    check(kin_set_forkserver_preload(prepare));

    for (int i = 7; i < 10; i++) {
        kin_process *child = NULL;
        kin_value pair = kin_value_build("(si)", "the square of", i);
        check(kin_process_start(&child, NULL, NULL,
                                &(kin_process_options){.target = "look_up", .value = &pair}));
        check(kin_process_join(child, KIN_FOREVER));
        check(kin_process_close(child));
        kin_value_clear(&pair);
    }
    printf("here nothing was prepared: %.0f\n", squares[7]);
    return EXIT_SUCCESS;
}
