/* T03: background threads do not hold the program open; ordinary ones do. */
#include <kin.h>

#include "check.h"

static kin_queue *never;

/* Would wait for ever. */
static int background(void *unused)
{
    (void)unused;
    char message[8];
    kin_queue_get(never, message, sizeof message, KIN_FOREVER);
    puts("this is never printed");
    return 0;
}

static int foreground(void *main_is_over)
{
    char message[8];
    kin_queue_get(main_is_over, message, sizeof message, KIN_FOREVER);
    puts("the ordinary thread ends after main");
    return 0;
}

int main(void)
{
    kin_queue *main_is_over = NULL;
    check(kin_queue_open(&never, NULL));
    check(kin_queue_open(&main_is_over, NULL));
    check(kin_thread_start(NULL, background, NULL, &(kin_thread_options){.daemon = true}));
    check(kin_thread_start(NULL, foreground, main_is_over, NULL));
    printf("%ld threads are alive; main returns\n", check(kin_thread_enumerate(NULL, 0)));
    check(kin_queue_put(main_is_over, "", 0, KIN_FOREVER));
    return EXIT_SUCCESS;
}
