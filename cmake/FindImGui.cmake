# Dear ImGui 1.86 or newer with its GLFW and OpenGL 3 backends, as imgui::imgui.
#
# In this order: a CMake package (vcpkg, Conan); the system's library (Debian, Ubuntu: libimgui-dev, which needs stb);
# with TPLAN_GUI=ON and TPLAN_FETCH_DEPS, upstream's sources. ImGui_FOUND and ImGui_VERSION say what there is.

find_package(OpenGL QUIET COMPONENTS OpenGL)
find_package(glfw3 3.3 QUIET)
if(NOT OpenGL_FOUND OR NOT TARGET glfw)
    set(ImGui_FOUND FALSE)
    set(ImGui_MISSING "libglfw3-dev libgl-dev")
    return()
endif()

find_package(imgui CONFIG QUIET)
if(TARGET imgui::imgui)
    set(ImGui_FOUND TRUE)
    return()
endif()

find_path(IMGUI_INCLUDE_DIR imgui.h PATH_SUFFIXES imgui)
find_library(IMGUI_LIBRARY imgui)
find_library(STB_LIBRARY stb)
if(IMGUI_INCLUDE_DIR AND IMGUI_LIBRARY AND STB_LIBRARY AND EXISTS ${IMGUI_INCLUDE_DIR}/backends/imgui_impl_opengl3.h)
    file(STRINGS ${IMGUI_INCLUDE_DIR}/imgui.h line REGEX "^#define IMGUI_VERSION ")
    string(REGEX REPLACE ".*\"([0-9.]+).*" "\\1" ImGui_VERSION "${line}")
    if(ImGui_VERSION VERSION_GREATER_EQUAL 1.86)
        add_library(imgui::imgui STATIC IMPORTED)
        set_target_properties(imgui::imgui PROPERTIES
            IMPORTED_LOCATION ${IMGUI_LIBRARY}
            INTERFACE_INCLUDE_DIRECTORIES ${IMGUI_INCLUDE_DIR}
            INTERFACE_LINK_LIBRARIES "${STB_LIBRARY};${CMAKE_DL_LIBS}")
        set(ImGui_FOUND TRUE)
        return()
    endif()
endif()

if(NOT TPLAN_FETCH_DEPS OR NOT TPLAN_GUI STREQUAL ON)  # AUTO must not need the network
    set(ImGui_FOUND FALSE)
    set(ImGui_MISSING "libimgui-dev libstb-dev")
    return()
endif()
include(FetchContent)
FetchContent_Declare(imgui_sources
    URL https://github.com/ocornut/imgui/archive/refs/tags/v1.91.9.tar.gz)
FetchContent_MakeAvailable(imgui_sources)
set(ImGui_VERSION 1.91.9)
set(imgui_dir ${imgui_sources_SOURCE_DIR})
add_library(imgui_from_sources STATIC
    ${imgui_dir}/imgui.cpp ${imgui_dir}/imgui_draw.cpp ${imgui_dir}/imgui_tables.cpp ${imgui_dir}/imgui_widgets.cpp
    ${imgui_dir}/backends/imgui_impl_glfw.cpp ${imgui_dir}/backends/imgui_impl_opengl3.cpp)
target_include_directories(imgui_from_sources SYSTEM PUBLIC ${imgui_dir})
target_link_libraries(imgui_from_sources PUBLIC glfw OpenGL::GL ${CMAKE_DL_LIBS})
add_library(imgui::imgui ALIAS imgui_from_sources)
set(ImGui_FOUND TRUE)
