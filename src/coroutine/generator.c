/* generator.c: a function that hands values to its caller: a context of its own, and a switch there and
 * back for each value. */
#include <kin/generator.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "coroutine/context.h"
#include "coroutine/stack.h"
#include "os/os.h"

enum state { FRESH, WAITING, RUNNING, ENDED };

struct kin_generator {
    struct kin__context own;
    struct kin__context caller;
    enum state state;
    bool closing;
    int result;
    void *value; /* yielded */
    void *sent;
    kin_generator_function *target;
    void *argument;
    struct kin__stack stack;
};

static void begin(void *argument)
{
    kin_generator *self = argument;
    kin__context_begun(&self->caller);
    self->result = self->target(self, self->argument);
    self->state = ENDED;
    kin__context_finish(&self->own, &self->caller);
}

int kin_generator_open_sized(kin_generator **generator, kin_generator_function *target, void *argument,
                             const kin_generator_options *options, size_t size)
{
    kin_generator_options given = {0};
    if (generator == NULL || target == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    kin_generator *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->target = target;
    made->argument = argument;
    int rc = kin__stack_take(&made->stack, given.stack_size);
    if (rc < 0) goto no_stack;
    rc = kin__context_adopt(&made->caller);
    if (rc < 0) goto no_caller;
    rc = kin__context_make(&made->own, made->stack.bottom, made->stack.size, begin, made);
    if (rc < 0) goto no_context;
    *generator = made;
    return 0;

no_context:
    kin__context_discard(&made->caller);
no_caller:
    kin__stack_give(&made->stack);
no_stack:
    kin__os_free(made);
    return rc;
}

static void resume(kin_generator *generator)
{
    generator->state = RUNNING;
    kin__context_here(&generator->caller);
    kin__context_switch(&generator->caller, &generator->own, NULL);
}

int kin_generator_send(kin_generator *generator, void *sent, void **value)
{
    if (generator == NULL) return -EINVAL;
    if (generator->state == RUNNING) return -EBUSY;
    if (generator->state == ENDED) return 0;
    generator->sent = sent;
    resume(generator);
    if (generator->state == ENDED) return 0;
    if (value != NULL) *value = generator->value;
    return 1;
}

int kin_generator_next(kin_generator *generator, void **value)
{
    return kin_generator_send(generator, NULL, value);
}

int kin_generator_yield(kin_generator *self, void *value, void **sent)
{
    if (self == NULL) return -EINVAL;
    if (self->state != RUNNING) return -EPERM;
    if (self->closing) return -ECANCELED;
    self->value = value;
    self->state = WAITING;
    kin__context_switch(&self->own, &self->caller, &self->caller);
    if (self->closing) return -ECANCELED;
    if (sent != NULL) *sent = self->sent;
    return 0;
}

int kin_generator_result(const kin_generator *generator, int *result)
{
    if (generator == NULL || result == NULL) return -EINVAL;
    if (generator->state != ENDED) return -EBUSY;
    *result = generator->result;
    return 0;
}

int kin_generator_close(kin_generator *generator)
{
    if (generator == NULL) return 0;
    if (generator->state == RUNNING) return -EBUSY;
    generator->closing = true;
    if (generator->state == WAITING) resume(generator);
    kin__context_discard(&generator->own);
    kin__context_discard(&generator->caller);
    kin__stack_give(&generator->stack);
    kin__os_free(generator);
    return 0;
}
