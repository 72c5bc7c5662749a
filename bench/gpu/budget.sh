# How run.sh spends nine minutes: every part gets a limit, and all limits end by one deadline. Sourced; bash counts SECONDS from the
# start of the shell, or from a number that the environment says: SECONDS=400 bench/gpu/run.sh tries a late run.
end=535         # what is left of nine minutes is for ending
least_tests=60  # kept while it is built
least_losses=60 # kept for that group of times, whatever came before; the others share what there is
plot_time=20
# Exit codes of what went well as far as it came, but left something out, and of a tool that looked at nothing.
incomplete=75
checked_nothing=76

# cap WANTED KEPT: seconds, WANTED at most, that leave KEPT to whatever comes after; 0 where there are none.
cap() {
  local left=$((end - SECONDS - $2))
  echo $((left < 0 ? 0 : left < $1 ? left : $1))
}

# within SECONDS COMMAND...: what ignores that its time is over is killed before SECONDS are.
within() {
  local limit=$(($1 - 5))
  shift
  timeout -k 4 $((limit > 1 ? limit : 1)) "$@" # 0 would be no limit
}

# run NAME SECONDS COMMAND...: notes in `failed` what fails, is stopped, or cannot begin; sets `ended`, the exit code.
run() {
  local name=$1 limit=$2 code=0
  ended=1
  shift 2
  if ((limit < 10)); then
    echo "---- $name: no time is left"
    failed+=("$name (no time)")
    return
  fi
  within "$limit" "$@" || code=$?
  ended=$code
  ((code == 0)) && echo "---- $name: done after $SECONDS s" && return
  ((code == 124 || code == 137)) && code="$code, stopped within $limit s"
  echo "---- $name: exit code $code, after $SECONDS s"
  ((ended != incomplete)) || name+=" (incomplete)"
  ((ended != checked_nothing)) || name+=" (has checked nothing)"
  failed+=("$name")
}
