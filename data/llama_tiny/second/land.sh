cd /tmp/wt/w17; export PYTHONPATH=$PWD OMP_NUM_THREADS=1
PY=/work/main/.venv/bin/python
rm -f /tmp/mine2/land.done
M="$PY -m ssae_kit.organism --threads 1 measure"
d() { echo "$1 $2 $(date +%T)" >> /tmp/mine2/land.done; }
w() { $PY -m pytest -q -p no:cacheprovider -n 0 --nb-write $(ls notebooks/$1_*.ipynb) > /tmp/mine2/w_$1.log 2>&1; d nb$1 $?; }
( $PY -m ssae_kit.studies protocol > /tmp/mine2/study_protocol.log 2>&1; d protocol $?; w 05; $M data/llama_tiny/seed1 --out /tmp/mine2/m_seed1.json >/tmp/mine2/m1.log 2>&1; d m1 $?; $M data/llama_tiny/seed2 --out /tmp/mine2/m_seed2.json  >/tmp/mine2/m2.log 2>&1; d m2 $? ) &
( w 06; w 10; w 08;  $M data/llama_tiny/plain --out data/llama_tiny/control_no_mask.json > /tmp/mine2/m_plain.log 2>&1; d plain $?; w 09; $M data/llama_tiny/seed3 --out /tmp/mine2/m_seed3.json >/tmp/mine2/m3.log 2>&1; d m3 $?;
  rm -rf build/untrained; $PY -m ssae_kit.organism --threads 1 train --seed 0 --steps 0 --out build/untrained > /tmp/mine2/m_un.log 2>&1 && $M build/untrained --out data/llama_tiny/control_untrained.json >> /tmp/mine2/m_un.log 2>&1; d untrained $?; w 02b ) &
wait; d all 0
