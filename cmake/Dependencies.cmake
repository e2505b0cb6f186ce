# Dependencies come from the system; FetchContent is the fallback. The declared name equals the find_package name.
include(FetchContent)
if(NOT TPLAN_FETCH_DEPS)
    set(FETCHCONTENT_FULLY_DISCONNECTED ON)
endif()
set(JSON_BuildTests OFF CACHE INTERNAL "")
set(CLI11_BUILD_TESTS OFF CACHE INTERNAL "")
set(EIGEN_BUILD_TESTING OFF CACHE INTERNAL "")
set(EIGEN_BUILD_DOC OFF CACHE INTERNAL "")

FetchContent_Declare(fmt
    URL https://github.com/fmtlib/fmt/archive/refs/tags/9.1.0.tar.gz
    FIND_PACKAGE_ARGS 9)
FetchContent_Declare(nlohmann_json
    URL https://github.com/nlohmann/json/releases/download/v3.11.2/json.tar.xz
    FIND_PACKAGE_ARGS 3.11)
FetchContent_Declare(CLI11
    URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.1.2.tar.gz
    FIND_PACKAGE_ARGS 2)
FetchContent_Declare(Eigen3
    URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
    FIND_PACKAGE_ARGS NO_MODULE)
FetchContent_Declare(pugixml
    URL https://github.com/zeux/pugixml/releases/download/v1.13/pugixml-1.13.tar.gz
    FIND_PACKAGE_ARGS 1.9)
FetchContent_MakeAvailable(fmt nlohmann_json CLI11 Eigen3 pugixml)
find_package(Threads REQUIRED)

if(TPLAN_TESTS)
    # No version: Debian 12 has v2, newer systems v3; tests/support/catch.h serves both.
    FetchContent_Declare(Catch2
        URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.5.4.tar.gz
        FIND_PACKAGE_ARGS)
    FetchContent_MakeAvailable(Catch2)
    if(DEFINED catch2_SOURCE_DIR)
        list(APPEND CMAKE_MODULE_PATH ${catch2_SOURCE_DIR}/extras)
    endif()
endif()
