/* test_portable_coroutine_stack.c: test_coroutine_stack.c with the switch for processors that there is no assembly for. */
#include "test_coroutine_stack.c"
