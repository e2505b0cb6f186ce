# The window: tplan_gui (panels, painter, software screenshots; no display needed) and the program tplan-gui. Without
# Dear ImGui and GLFW everything else builds all the same.
if(TPLAN_GUI STREQUAL OFF)
    message(STATUS "The window is off (TPLAN_GUI=OFF)")
    return()
endif()
include(FindImGui)
if(NOT ImGui_FOUND)
    tplan_without(TPLAN_GUI "The window is left out" "${ImGui_MISSING}")
    return()
endif()
message(STATUS "The window uses Dear ImGui ${ImGui_VERSION}")

file(GLOB gui_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/gui/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/gui/panels/*.cpp)
list(FILTER gui_sources EXCLUDE REGEX "/gui/(main|window)[.]cpp$")
add_library(tplan_gui STATIC ${gui_sources})
target_link_libraries(tplan_gui PUBLIC tplan_app imgui::imgui PRIVATE tplan_warnings)
target_precompile_headers(tplan_gui REUSE_FROM tplan_core)

add_executable(tplan-gui ${CMAKE_CURRENT_SOURCE_DIR}/gui/main.cpp ${CMAKE_CURRENT_SOURCE_DIR}/gui/window.cpp)
target_link_libraries(tplan-gui PRIVATE tplan_gui glfw OpenGL::GL tplan_warnings)
set_target_properties(tplan-gui PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
install(TARGETS tplan-gui)
