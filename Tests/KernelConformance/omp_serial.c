// The four functions of OpenMP that the kernels use, for one thread: for builds without -fopenmp, where no OpenMP library for
// the target is at hand. Each team then has one member, which does every part.
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_num_procs(void);
void kmp_set_blocktime(int milliseconds);

int omp_get_thread_num(void) { return 0; }
int omp_get_num_threads(void) { return 1; }
int omp_get_num_procs(void) { return 1; }
void kmp_set_blocktime(int milliseconds) { (void)milliseconds; }
