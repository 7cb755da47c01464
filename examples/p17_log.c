/* p17: what three processes say, shown by one of them. */
#include <kin.h>
#include <stdint.h>
#include <stdio.h>

#include "check.h"

static void show(const kin_log_record *record, void *unused)
{
    (void)unused;
    printf("%-11s %s %s\n", record->process, record->level >= KIN_LOG_WARNING ? "!" : " ", record->line);
}

static int work(void *number)
{
    kin_log(KIN_LOG_INFO, "begins");
    if ((intptr_t)number == 2) kin_log(KIN_LOG_WARNING, "has nothing to do");
    kin_log(KIN_LOG_DEBUG, "is not interesting");
    return 0;
}

int main(void)
{
    kin_process *child[2];
    check(kin_log_collect(show, KIN_LOG_INFO, NULL));
    for (intptr_t i = 0; i < 2; i++) {
        check(kin_process_start(&child[i], work, (void *)(i + 1), NULL));
        check(kin_process_join(child[i], KIN_FOREVER));
        check(kin_process_close(child[i]));
    }
    kin_log(KIN_LOG_INFO, "%d children have ended", 2);
    check(kin_log_collect_end());
    return 0;
}
