/* C10: shared memory as a means of communication: one program writes a picture into a named block, another
 * one, which knows only the name, reads it.  When both have ended, one of them by a signal, nothing is left. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct picture {
    int width, height;
    unsigned char pixels[8][8];
};

static int draw(void *name)
{
    kin_shared_memory *block = NULL;
    check(kin_shared_memory_attach(&block, name));
    struct picture *picture = kin_shared_memory_data(block);
    for (int y = 0; y < picture->height; y++)
        for (int x = 0; x < picture->width; x++) picture->pixels[y][x] = (unsigned char)(x == y ? '#' : '.');
    printf("drawn in %s\n", strcmp(kin_shared_memory_name(block), name) == 0 ? "the block" : "another block");
    fflush(stdout);
    return raise(SIGKILL); /* it does not come to closing */
}

int main(void)
{
    char name[32];
    kin_shared_memory *block = NULL;
    kin_process *painter = NULL;
    snprintf(name, sizeof name, "picture-%d", (int)getpid());
    check(kin_shared_memory_create(&block, name, sizeof(struct picture), NULL));
    struct picture *picture = kin_shared_memory_data(block);
    picture->width = 5;
    picture->height = 3;

    check(kin_process_start(&painter, draw, name, NULL));
    check(kin_process_join(painter, KIN_FOREVER));
    check(kin_process_close(painter));
    for (int y = 0; y < picture->height; y++) printf("%.*s\n", picture->width, (char *)picture->pixels[y]);
    check(kin_shared_memory_close(block));
    printf("afterwards: %s\n", kin_strerror(kin_shared_memory_attach(&block, name)));
    return EXIT_SUCCESS;
}
