/* runtime.h - what must stand before libtorch is loaded. Call it at the start of main, before other threads run (it changes the environment).
 *
 * OpenMP and BLAS read their settings when they are loaded. A program that dlopens libtorch just calls runtime_prepare(0) first. One that links it is
 * too late by then, so it starts itself again:
 *
 *	if (runtime_prepare(0))
 *		execv("/proc/self/exe", argv);
 */
#ifndef CORE_RUNTIME_H
#define CORE_RUNTIME_H

/* Sets, each only where the environment does not say otherwise: OMP_WAIT_POLICY=PASSIVE (waiting threads that go on spinning make a busy machine several
 * times slower), GOMP_SPINCOUNT=20000 (a millisecond at most: between two loops that follow each other no thread needs to be woken, which a busy machine does
 * late), CUBLAS_WORKSPACE_CONFIG=:4096:8 (without it libtorch refuses deterministic products on CUDA) and OMP_NUM_THREADS=threads (0: the CPUs this process
 * may use). And tells malloc to give the memory of pictures back at once and to keep two arenas only: left alone it keeps some 60 MB of them. Returns 1 when
 * it changed the environment, else 0: a second start never loops. */
int runtime_prepare(int threads);

/* The CPUs in this process's affinity mask, at least 1. */
int runtime_cpus(void);

#endif
