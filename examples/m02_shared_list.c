/* M02: a list of records in a manager: one process inserts a record, another prints what is there. */
#include <stdio.h>
#include <stdlib.h>

#include <kin.h>

#include "check.h"

static int insert(void *records)
{
    check(kin_proxy_call(records, "append", kin_value_build("((si))", "Hopper", 98), NULL, kin_in_s(5)));
    printf("a record is inserted\n");
    return EXIT_SUCCESS;
}

static int print(void *records)
{
    kin_value all;
    const kin_value *record;
    const char *name;
    int score;
    check(kin_proxy_call(records, "copy", kin_value_none(), &all, kin_in_s(5)));
    for (size_t at = 0; kin_value_next(&all, &at, &record, NULL);) {
        check(kin_value_parse(record, "(si)", &name, &score));
        printf("%s: %d\n", name, score);
    }
    kin_value_clear(&all);
    return EXIT_SUCCESS;
}

static void run(kin_process_function *function, void *argument)
{
    kin_process *process = NULL;
    check(kin_process_start(&process, function, argument, NULL));
    check(kin_process_join(process, KIN_FOREVER));
    check(kin_process_close(process));
}

int main(void)
{
    kin_manager *manager = NULL;
    kin_proxy *records = NULL;
    kin_value scores = kin_value_build("([(si)(si)])", "Ada", 100, "Babbage", 87);
    check(kin_manager_start(&manager, NULL));
    check(kin_manager_create(manager, &records, "list", scores, kin_in_s(5)));
    run(insert, records);
    run(print, records);
    check(kin_proxy_close(records));
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}
