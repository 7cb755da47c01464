/* map.h: the command `kin map`. */
#ifndef MAP_H
#define MAP_H

/* words[0] is "map".  Returns the exit code. */
int map_main(int count, char **words);

#endif
