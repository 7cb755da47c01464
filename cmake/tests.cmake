# Tests: the runner bin/kin-test, and one program for each file tests/<group>/<name>.c, in tests/
# of the build directory.  They see the internal headers, as "memory/region.h".  What the tests
# of the harness run on (tests/support/planted) is in tests/planted/.

file(GLOB KIN_RUNNER_SOURCES CONFIGURE_DEPENDS tests/support/runner*.c)
file(GLOB KIN_SUPPORT_SOURCES CONFIGURE_DEPENDS tests/support/*.c)
list(REMOVE_ITEM KIN_SUPPORT_SOURCES ${KIN_RUNNER_SOURCES})

add_executable(kin-test ${KIN_RUNNER_SOURCES})
target_include_directories(kin-test PRIVATE tests)
# It measures and is not measured: its verdict must not depend on the sanitizer of the build.
target_compile_options(kin-test PRIVATE -fno-sanitize=all)
target_link_options(kin-test PRIVATE -fno-sanitize=all)

add_library(kin-test-support OBJECT ${KIN_SUPPORT_SOURCES})
target_include_directories(kin-test-support PUBLIC tests src include)
target_link_libraries(kin-test-support PUBLIC Threads::Threads)
set_source_files_properties(tests/support/test.c PROPERTIES
    COMPILE_DEFINITIONS KIN_SOURCE_DIRECTORY="${PROJECT_SOURCE_DIR}")

# The coroutines once more, with the switch for processors that there is no assembly for: the programs
# test_portable_* have them in front of the library's.
file(GLOB KIN_COROUTINE_SOURCES CONFIGURE_DEPENDS src/coroutine/*.c)
add_library(kin-coroutine-portable OBJECT ${KIN_COROUTINE_SOURCES})
target_compile_definitions(kin-coroutine-portable PRIVATE KIN_CONTEXT_PORTABLE)
target_include_directories(kin-coroutine-portable PRIVATE include src)
target_link_libraries(kin-coroutine-portable PUBLIC Threads::Threads)

function(kin_test_program source directory)
    get_filename_component(name ${source} NAME_WE)
    add_executable(test-${name} ${source})
    set_target_properties(test-${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${directory})
    if(name MATCHES "^test_portable_")
        target_link_libraries(test-${name} PRIVATE kin-coroutine-portable)
    endif()
    target_link_libraries(test-${name} PRIVATE kin-test-support kin-static m ${CMAKE_DL_LIBS})
endfunction()

file(GLOB KIN_TEST_SOURCES CONFIGURE_DEPENDS
    tests/unit/*.c tests/concurrency/*.c tests/crash/*.c tests/interop/*.c tests/cli/*.c
    tests/examples/*.c)
foreach(source ${KIN_TEST_SOURCES})
    get_filename_component(name ${source} NAME_WE)
    kin_test_program(${source} tests)
    add_test(NAME ${name} COMMAND kin-test $<TARGET_FILE:test-${name}>)
endforeach()

# Programs that tests run as a user would.
file(GLOB KIN_PROGRAM_SOURCES CONFIGURE_DEPENDS tests/support/programs/*.c)
foreach(source ${KIN_PROGRAM_SOURCES})
    get_filename_component(name ${source} NAME_WE)
    add_executable(program-${name} ${source})
    set_target_properties(program-${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/programs)
    target_link_libraries(program-${name} PRIVATE kin-static)
endforeach()

# What a program that is not ours loads.
add_library(kin-loop-module MODULE tests/interop/foreign/module.c)
set_target_properties(kin-loop-module PROPERTIES
    PREFIX "" OUTPUT_NAME loop-module LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
target_link_libraries(kin-loop-module PRIVATE kin-shared)

file(GLOB KIN_PLANTED_SOURCES CONFIGURE_DEPENDS tests/support/planted/*.c)
foreach(source ${KIN_PLANTED_SOURCES})
    kin_test_program(${source} tests/planted)
endforeach()
