/* program.h: places in the program's code, and in its constants, that mean the same in another
 * process of the same program, which has them at another address.
 *
 * A place is an object (the program, or a library that it has loaded), known by its build id, and
 * an offset.  The rules of os.h hold here too. */
#ifndef KIN_OS_PROGRAM_H
#define KIN_OS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIN__PROGRAM_PATH_SIZE 512
#define KIN__BUILD_ID_MOST     32

struct kin__program_place {
    uint64_t offset;
    uint32_t id_size; /* 0: the program itself, which has none */
    uint8_t id[KIN__BUILD_ID_MOST];
    bool library;
    char path[KIN__PROGRAM_PATH_SIZE]; /* of the library */
};

/* 1 when the address lies in an executable segment of the program or a loaded library. */
int kin__os_is_code(const void *address);

/* Describes an address in code or constants.  -ENOENT: it is in neither; KIN_EFUNCTION: in a library
 * without a build id, or with too long a path. */
int kin__os_place_of(const void *address, struct kin__program_place *place);
/* Where that place is in this process; a library that is not here is loaded.  KIN_EFUNCTION: it
 * cannot be loaded any more, or is another one by now. */
int kin__os_place_find(const struct kin__program_place *place, const void **address);
/* The same for what is loaded already; NULL: it is not. */
const void *kin__os_place_loaded(const struct kin__program_place *place);

/* How this process has the program in its memory.  Those that it forks have it so too; one that was
 * begun by exec has not.  Made at the first call, from what does not change. */
struct kin__image {
    uint64_t layout;  /* the same where the same address is the same function */
    uint64_t program; /* the same in every process of the same program; 0: not known */
    uint64_t base;    /* where it is */
};
const struct kin__image *kin__os_image(void);
/* 1 when the address is in the code of the program itself, not of a library. */
int kin__os_is_own_code(const void *address);
/* What was a function of the program itself at `address` in a process of that image, in this one; NULL:
 * it is another program, or that is no code of it. */
const void *kin__os_translate(const void *address, const struct kin__image *image);

/* Loads a library, for good, and finds a function in it.  KIN_EFUNCTION: either is not there, and
 * `why`, of `size` bytes, says so in words. */
int kin__os_symbol_find(const char *library, const char *symbol, const void **address, char *why,
                        size_t size);

#endif
