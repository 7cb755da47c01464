/* C01: a queue of values: messages of any form, made and read by format, as Python programs send
 * tuples and dicts. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static void put(kin_queue *queue, kin_value value)
{
    check(kin_queue_put_value(queue, &value, KIN_FOREVER));
    kin_value_clear(&value);
}

static int produce(void *queue)
{
    put(queue, kin_value_build("(s[ii])", "size", 640, 480));
    put(queue, kin_value_build("{s:s, s:d, s:N}", "name", "Ada", "score", 99.5, "team"));
    kin_value squares = kin_value_list(NULL, 0);
    for (int i = 0; i < 10; i++) check(kin_value_list_append(&squares, kin_value_int(i * i)));
    put(queue, squares);
    check(kin_queue_shutdown(queue, 0));
    return 0;
}

int main(void)
{
    int rc, width, height;
    const char *what;
    kin_queue *queue = NULL;
    kin_process *child = NULL;
    kin_value value;
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&child, produce, queue, NULL));
    while ((rc = kin_queue_get_value(queue, &value, kin_in_s(8))) == 0) {
        char text[200];
        check(kin_value_repr(&value, text, sizeof text));
        printf("%s: %s\n", kin_value_kind_name(&value), text);
        if (kin_value_parse(&value, "(s[ii])", &what, &width, &height) == 0)
            printf("%s is %d by %d\n", what, width, height);
        kin_value_clear(&value);
    }
    printf("%s\n", kin_strerror(rc));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
