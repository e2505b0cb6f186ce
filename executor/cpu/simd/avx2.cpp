// The same loops compiled with -mavx2 -mfma (Executor.cmake). Eigen's templates are renamed: the
// linker would otherwise merge them with those of baseline.cpp and keep one of the two.
// AVX2 and not wider: Eigen 3.4's AVX-512 products are slower on the Zen 4 and 5 measured.
#ifdef __AVX2__
#define Eigen EigenAvx2
#define TPLAN_SIMD avx2
#include "executor/cpu/simd/set.h"
#endif
