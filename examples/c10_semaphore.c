/* C10: processes tell each other something with semaphores: a writer fills a place in shared memory
 * and signals "full", a reader takes it and signals "empty".  (Such semaphores are plain: the permits
 * are signals, and belong to nobody.) */
#include <stdio.h>

#include <kin.h>

#include "check.h"

struct place {
    kin_semaphore *full, *empty;
    int value;
};

static int write_squares(void *argument)
{
    struct place *place = argument;
    for (int i = 1; i <= 5; i++) {
        check(kin_semaphore_acquire(place->empty, KIN_FOREVER));
        place->value = i * i;
        check(kin_semaphore_release(place->full));
    }
    return 0;
}

int main(void)
{
    const kin_semaphore_options plain = {.plain = true};
    kin_process *writer = NULL;
    struct place *place = kin_alloc(sizeof *place);
    if (place == NULL) return EXIT_FAILURE;
    check(kin_semaphore_open(&place->full, 0, &plain));
    check(kin_semaphore_open(&place->empty, 1, &plain));
    check(kin_process_start(&writer, write_squares, place, NULL));

    for (int i = 1; i <= 5; i++) {
        check(kin_semaphore_acquire(place->full, kin_in_s(5)));
        printf("%d squared is %d\n", i, place->value);
        check(kin_semaphore_release(place->empty));
    }
    int rc = kin_semaphore_acquire(place->full, kin_in_ms(50));
    printf("a sixth: %s\n", rc < 0 ? kin_strerror(rc) : "there is one");

    check(kin_process_join(writer, KIN_FOREVER));
    check(kin_process_close(writer));
    check(kin_semaphore_close(place->full));
    check(kin_semaphore_close(place->empty));
    check(kin_free(place));
    return EXIT_SUCCESS;
}
