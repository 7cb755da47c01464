/* T01: a thread with a name runs a loop; threads know what they are called, and are waited for. */
#include <kin.h>

#include "check.h"

static int loop(void *unused)
{
    (void)unused;
    const char *name = kin_thread_name(kin_thread_current());
    for (int n = 1; n <= 3; n++) printf("thread %s >>> %d\n", name, n);
    return 3;
}

int main(void)
{
    kin_thread *named = NULL, *unnamed[2];
    printf("thread %s is running\n", kin_thread_name(kin_thread_current()));
    check(kin_thread_start(&named, loop, NULL, &(kin_thread_options){.name = "LoopThread"}));
    check(kin_thread_join(named, KIN_FOREVER));
    for (int i = 0; i < 2; i++) {
        check(kin_thread_start(&unnamed[i], loop, NULL, NULL));
        check(kin_thread_join(unnamed[i], KIN_FOREVER));
        check(kin_thread_close(unnamed[i]));
    }
    int count = 0;
    check(kin_thread_result(named, &count));
    printf("%s has ended after %d rounds\n", kin_thread_name(named), count);
    check(kin_thread_close(named));
    printf("thread %s ends\n", kin_thread_name(kin_thread_current()));
    return EXIT_SUCCESS;
}
