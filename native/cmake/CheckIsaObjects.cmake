# Fails if an inline function or template of ours is emitted by two objects compiled for different
# instruction sets: the linker keeps only one of them, so a kernel would silently run the body that was
# compiled for another set. Run after linking: cmake -DNM=... -DOBJECTS=... -DISAS=... -P this.
# (Those of the standard library are harmless: see twintail_sort_by_isa.)
foreach(object IN LISTS OBJECTS)
  set(isa baseline)
  foreach(candidate IN LISTS ISAS)
    if(object MATCHES "_${candidate}\\.cpp\\.o$")
      set(isa ${candidate})
    endif()
  endforeach()

  execute_process(COMMAND "${NM}" --defined-only "${object}" OUTPUT_VARIABLE symbols
                  COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL " [VWu] _ZN[A-Z]*2tt[^\n]*" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    string(SUBSTRING "${symbol}" 3 -1 symbol)
    if(DEFINED isa_of_${symbol} AND NOT isa_of_${symbol} STREQUAL isa)
      list(APPEND shared "${symbol} (${isa_of_${symbol}} and ${isa})")
    endif()
    set(isa_of_${symbol} ${isa})
  endforeach()
endforeach()

if(shared)
  list(REMOVE_DUPLICATES shared)
  list(JOIN shared "\n  " shared)
  message(FATAL_ERROR "Compiled for two instruction sets under one name; make these static, put them into "
                      "an unnamed namespace or one per instruction set:\n  ${shared}")
endif()
