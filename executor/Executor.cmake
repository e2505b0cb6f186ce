# What the executor needs beyond tplan_library(): Eigen for its inner loops (compiled twice, the second time for AVX2
# with FMA, chosen at run time) and oneDNN for its matrix products when the system has it.
set(executor_simd ${CMAKE_CURRENT_SOURCE_DIR}/executor/cpu/simd)
target_link_libraries(tplan_executor PRIVATE Eigen3::Eigen)

# -O3 in every preset: unoptimised Eigen makes the tests crawl. The two others let square roots and selections vectorise;
# unlike -ffast-math they keep the meaning of NaN and infinity.
set(executor_simd_flags -O3 -fno-math-errno -fno-trapping-math)
set_source_files_properties(${executor_simd}/baseline.cpp PROPERTIES COMPILE_OPTIONS "${executor_simd_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set_source_files_properties(${executor_simd}/avx2.cpp PROPERTIES COMPILE_OPTIONS "${executor_simd_flags};-mavx2;-mfma")
    set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/executor/cpu/simd.cpp
        PROPERTIES COMPILE_DEFINITIONS TPLAN_SIMD_AVX2)
endif()

if(NOT TPLAN_ONEDNN STREQUAL "OFF")
    # By header and library: the package file of some systems insists on OpenCL, which only its GPU side needs. oneDNN
    # runs on OpenMP, whose header is needed to tell it to use one thread per rank.
    find_path(DNNL_INCLUDE_DIR dnnl.hpp)
    find_library(DNNL_LIBRARY dnnl)
    find_package(OpenMP QUIET COMPONENTS CXX)
    if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY AND OpenMP_CXX_FOUND)
        message(STATUS "CPU matrix products: oneDNN (${DNNL_LIBRARY})")
        target_include_directories(tplan_executor SYSTEM PRIVATE ${DNNL_INCLUDE_DIR})
        target_link_libraries(tplan_executor PRIVATE ${DNNL_LIBRARY} ${OpenMP_CXX_LIBRARIES})
        set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/executor/cpu/onednn.cpp
            PROPERTIES COMPILE_DEFINITIONS TPLAN_ONEDNN_FOUND COMPILE_OPTIONS "${OpenMP_CXX_FLAGS}")
    else()
        tplan_without(TPLAN_ONEDNN "CPU matrix products: Eigen" "dnnl.hpp, libdnnl or OpenMP (Debian: libdnnl-dev)")
    endif()
endif()

# MPI in a plugin of its own: the binary interfaces of MPI libraries differ, so the program must not be linked to one.
if(NOT TPLAN_MPI STREQUAL "OFF")
    find_package(MPI QUIET COMPONENTS CXX)
    if(MPI_CXX_FOUND)
        message(STATUS "MPI plugin: ${MPI_CXX_LIBRARIES}")
        add_library(tplan_mpi MODULE ${CMAKE_CURRENT_SOURCE_DIR}/executor/mpi/plugin.cpp)
        target_include_directories(tplan_mpi PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
        target_link_libraries(tplan_mpi PRIVATE MPI::MPI_CXX tplan_warnings)
        target_compile_definitions(tplan_mpi PRIVATE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
        set_target_properties(tplan_mpi PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
        install(TARGETS tplan_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/tplan)
    else()
        tplan_without(TPLAN_MPI "MPI plugin: not built" "MPI (Debian: libopenmpi-dev)")
    endif()
endif()

# The CUDA plugin: built where nvcc is, loaded at run time. cudart is static; cuBLASLt is its one heavy need, NCCL is
# found at run time (its header gives the types). The option's ON makes a missing toolkit an error.
if(NOT TPLAN_CUDA STREQUAL "OFF")
    include(${CMAKE_CURRENT_SOURCE_DIR}/executor/cuda/Cuda.cmake)
endif()
