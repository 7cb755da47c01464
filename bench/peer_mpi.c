/* peer_mpi.c: Open MPI over shared memory, a program for mpirun.  Prints the seconds.
 *
 *     peer_mpi queue SIZE PRODUCERS CONSUMERS COUNT
 *     peer_mpi trip COUNT */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each producer deals its messages out to the consumers in turns. */
static int run_queue(int rank, char **argv)
{
    int size = atoi(argv[2]);
    int producers = atoi(argv[3]);
    int consumers = atoi(argv[4]);
    long step = (long)producers * consumers;
    long messages = (atol(argv[5]) + step - 1) / step * step;
    char *message = malloc((size_t)size);
    uint64_t sum = 0;
    memset(message, 1, (size_t)size);
    if (rank < producers) {
        for (long i = rank; i < messages; i += producers) {
            memcpy(message, &i, sizeof i);
            MPI_Send(message, size, MPI_BYTE, producers + (int)(i / producers % consumers), 0,
                     MPI_COMM_WORLD);
        }
    } else {
        for (long i = 0; i < messages / consumers; i++) {
            MPI_Recv(message, size, MPI_BYTE, producers == 1 ? 0 : MPI_ANY_SOURCE, 0, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
            uint64_t number;
            memcpy(&number, message, sizeof number);
            sum += number;
        }
    }
    uint64_t total = 0;
    MPI_Allreduce(&sum, &total, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    free(message);
    return total == (uint64_t)messages * (uint64_t)(messages - 1) / 2 ? 0 : 1;
}

static int run_trip(int rank, long count)
{
    for (uint64_t i = 0; i < (uint64_t)count; i++) {
        uint64_t number = i;
        if (rank == 0) MPI_Send(&number, 1, MPI_UINT64_T, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(&number, 1, MPI_UINT64_T, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (number != i) return 1;
        if (rank == 1) MPI_Send(&number, 1, MPI_UINT64_T, 0, 0, MPI_COMM_WORLD);
    }
    return 0;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Barrier(MPI_COMM_WORLD);
    double begin = MPI_Wtime();
    int rc = 2;
    if (argc == 6 && !strcmp(argv[1], "queue"))
        rc = run_queue(rank, argv);
    else if (argc == 3 && !strcmp(argv[1], "trip"))
        rc = run_trip(rank, atol(argv[2]));
    MPI_Barrier(MPI_COMM_WORLD);
    double seconds = MPI_Wtime() - begin;
    if (rank == 0 && rc == 0) printf("%.9f\n", seconds);
    MPI_Finalize();
    return rc;
}
