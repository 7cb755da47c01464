/* P03: a process with several arguments, in a struct whose members are named or in order, and what
 * its handle tells: name, pid, whether it is alive, whether it is a daemon, its exit code. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

struct person {
    const char *name;
    int age;
    const char *town;
};

static int introduce(void *argument)
{
    const struct person *person = argument;
    printf("%s, %d, from %s\n", person->name, person->age, person->town);
    return person->age;
}

static void introduce_in_a_child(struct person *person, const kin_process_options *options)
{
    kin_process *child = NULL;
    check(kin_process_start(&child, introduce, person, options));
    check(kin_process_join(child, KIN_FOREVER));

    int code;
    check(kin_process_exit_code(child, &code));
    printf("%s: pid %d, %s, %s, exit code %d\n", kin_process_name(child), kin_process_pid(child),
           kin_process_is_alive(child) ? "alive" : "ended", kin_process_daemon(child) ? "daemon" : "ordinary",
           code);
    check(kin_process_close(child));
}

int main(void)
{
    introduce_in_a_child(&(struct person){"Ada", 36, "London"}, NULL);
    introduce_in_a_child(&(struct person){.town = "Pisa", .age = 77, .name = "Galileo"},
                         &(kin_process_options){.name = "astronomer", .daemon = true});
    return EXIT_SUCCESS;
}
