/* Y03: an event: two runners wait for the start; a wait with a deadline ends without it; set lets
 * all go, clear makes the next ones wait. */
#include <errno.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

static kin_event *start;

static int run(void *number)
{
    check(kin_event_wait(start, KIN_FOREVER));
    printf("runner %d is off\n", *(int *)number);
    return 0;
}

static const char *is_set(void)
{
    return check(kin_event_is_set(start)) ? "yes" : "no";
}

int main(void)
{
    int numbers[] = {1, 2};
    kin_process *runner[2];
    check(kin_event_open(&start, NULL));
    for (int i = 0; i < 2; i++) check(kin_process_start(&runner[i], run, &numbers[i], NULL));

    printf("is it set: %s\n", is_set());
    int rc = kin_event_wait(start, kin_in_ms(50));
    printf("wait with a deadline: %s\n", rc == 0 ? "it was set" : kin_error_name(rc));
    fflush(stdout);

    check(kin_event_set(start));
    for (int i = 0; i < 2; i++) {
        check(kin_process_join(runner[i], KIN_FOREVER));
        check(kin_process_close(runner[i]));
    }
    printf("is it set: %s\n", is_set());
    check(kin_event_clear(start));
    printf("cleared; is it set: %s\n", is_set());
    check(kin_event_close(start));
    return EXIT_SUCCESS;
}
