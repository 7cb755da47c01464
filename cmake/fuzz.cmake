# Fuzz harnesses: one program for each file of fuzz/, in fuzz/ of the build directory, with
# libFuzzer (clang), or with AFL++ (its compiler, which knows the same options).  The library is
# instrumented too, so this wants a build directory of its own:
#
#     CC=clang scripts/build build/fuzz -DKIN_FUZZ=ON -DKIN_SANITIZE=address
#     build/fuzz/fuzz/challenge fuzz/corpus/challenge

if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "KIN_FUZZ needs CC=clang, or CC=afl-clang-fast, in a build directory of its own")
endif()

target_compile_options(kin-objects PRIVATE -fsanitize=fuzzer-no-link)

file(GLOB KIN_FUZZ_SOURCES CONFIGURE_DEPENDS fuzz/*.c)
foreach(source ${KIN_FUZZ_SOURCES})
    get_filename_component(name ${source} NAME_WE)
    add_executable(fuzz-${name} ${source})
    set_target_properties(fuzz-${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    target_include_directories(fuzz-${name} PRIVATE src include)
    target_compile_options(fuzz-${name} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_libraries(fuzz-${name} PRIVATE kin-objects)
    target_link_options(fuzz-${name} PRIVATE -fsanitize=fuzzer)
endforeach()
