/* module.c: the same work for a program that is not ours, as a shared object. */
#include "work.h"

int begin(void);
int turn(void);
int end(void);

int begin(void)
{
    return work_begin();
}

int turn(void)
{
    return kin_loop_turn(KIN_NOW);
}

int end(void)
{
    return work_end();
}
